"""What only Ollama knows of a request: which of it matters elsewhere, and how it is kept.

A member of `options` is kept under its whole path (``options.mirostat``), so that a loss names it. What only says how
a local engine loads and holds a model cannot change an answer elsewhere: its loss is none (`Extra.quiet`,
`mapping.md` §3). What replaces the prompt itself is grave.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ds2api.universal.parts import Extra

__all__ = ["NAME", "OPTIONS", "extra_of", "own_fields"]

NAME = "ollama"
OPTIONS = "options."

# `api/types.go`, Runner; and how long and how much of the prompt the engine holds.
_LOADING = frozenset({
    "numa", "num_ctx", "num_batch", "num_gpu", "main_gpu", "low_vram", "f16_kv", "logits_all", "vocab_only", "use_mmap",
    "use_mlock", "embedding_only", "num_thread", "num_keep",
})  # fmt: skip
_QUIET = frozenset({"keep_alive", "truncate", "shift", *(f"{OPTIONS}{name}" for name in _LOADING)})
_GRAVE = frozenset({"suffix", "template", "raw", "context"})


def extra_of(fields: dict[str, Any], quiet: Collection[str] = ()) -> Extra | None:
    """`fields` as an `Extra`, None for nothing. `quiet` names more whose loss is none."""
    silent = {name: value for name, value in fields.items() if name in _QUIET or name in quiet}
    rest = {name: value for name, value in fields.items() if name not in silent}
    return Extra(NAME, rest, _GRAVE & rest.keys(), silent) if fields else None


def own_fields(extra: Extra | None) -> dict[str, Any]:
    """All of it, if it is this dialect's."""
    return {**extra.fields, **extra.quiet} if extra is not None and extra.dialect == NAME else {}
