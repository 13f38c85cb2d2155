"""The recordings that these tests use: those in the repository, and all others where they lie beside it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ds2api.dialects.contract import Asker

__all__ = ["REQUESTS", "RESPONSES", "STREAMS", "Recording", "asker", "load", "streams_of"]

_HERE = Path(__file__).parents[2] / "recorded" / "messages"
_BESIDE = Path(__file__).parents[4] / "shared" / "recorded" / "anthropic-messages"


@dataclass(frozen=True)
class Recording:
    name: str
    folder: Path

    @property
    def status(self) -> int:
        return int(json.loads((self.folder / "meta.json").read_text())["status"])

    @property
    def request(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads((self.folder / "request.json").read_text())
        return value

    @property
    def response(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads((self.folder / "response.json").read_text())
        return value

    @property
    def stream(self) -> bytes:
        return (self.folder / "stream.sse").read_bytes()


def _found() -> list[Recording]:
    folders: dict[str, Path] = {}
    for root in (_HERE, _BESIDE):
        if root.is_dir():
            for folder in sorted(root.iterdir()):
                folders.setdefault(folder.name, folder)
    return [Recording(name, folder) for name, folder in folders.items() if not name.startswith("count-tokens")]


_one_stream = re.compile(rb"event: message_start\n.*?event: message_stop\n[^\n]*\n\n", re.DOTALL)
_ALL = _found()
REQUESTS = [one for one in _ALL if (one.folder / "request.json").exists()]
RESPONSES = [one for one in _ALL if (one.folder / "response.json").exists() and one.status == 200]
STREAMS = [one for one in _ALL if (one.folder / "stream.sse").exists()]


def load(name: str) -> Recording:
    return Recording(name, _HERE / name)


def streams_of(recording: Recording) -> list[bytes]:
    """Some recordings hold several exchanges one behind the other: each is a stream of its own."""
    return _one_stream.findall(recording.stream)


def asker(model: str = "alias", **changes: Any) -> Asker:
    given: dict[str, Any] = {
        "request_id": "req_own",
        "created": 1_700_000_000,
        "new_id": lambda: "new0",
        "input_estimate": 7,
    }
    return Asker(model, **{**given, **changes})
