"""The recordings that these tests use: those in the repository, and all others where they lie beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from ds2api.dialects.contract import Asker
from ds2api.universal import events as ev

__all__ = ["REQUESTS", "RESPONSES", "STREAMS", "Recording", "asker", "decoded", "load", "sse"]

_HERE = Path(__file__).parents[2] / "recorded" / "chat"
_BESIDE = Path(__file__).parents[3].parent / "shared" / "recorded"


@dataclass(frozen=True)
class Recording:
    name: str
    folder: Path

    @property
    def status(self) -> int:
        return int(json.loads((self.folder / "meta.json").read_text())["status"])

    @property
    def provider(self) -> str:
        return self.name.partition("-")[0]

    @property
    def request(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads((self.folder / "request.json").read_text())
        return value

    @property
    def response(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.raw_response)
        return value

    @property
    def raw_response(self) -> bytes:
        return (self.folder / "response.json").read_bytes()

    @property
    def stream(self) -> bytes:
        return (self.folder / "stream.sse").read_bytes()


def _folders() -> Iterator[Path]:
    if _HERE.is_dir():
        yield from sorted(_HERE.iterdir())
    if _BESIDE.is_dir():
        for protocol in sorted(_BESIDE.iterdir()):
            if protocol.name == "openai-chat" or protocol.name.startswith("chat-"):
                yield from sorted(protocol.iterdir())


# A transcription and an echo server's answer: under 200, but no chat completions.
_FOREIGN = {"groq-groq-transcription-text", "openai-invalid_response.0"}
_ALL = {folder.name: Recording(folder.name, folder) for folder in _folders() if folder.name not in _FOREIGN}.values()
REQUESTS = [one for one in _ALL if (one.folder / "request.json").exists()]
RESPONSES = [one for one in _ALL if (one.folder / "response.json").exists()]
STREAMS = [one for one in _ALL if (one.folder / "stream.sse").exists()]


def load(name: str) -> Recording:
    return Recording(name, _HERE / name)


def asker(model: str = "alias", **changes: Any) -> Asker:
    """Somebody who waits. Ids count up, so that two of them show."""
    numbers = count()
    given: dict[str, Any] = {
        "request_id": "req_own",
        "created": 1_700_000_000,
        "new_id": lambda: f"new{next(numbers)}",
        "wants_usage": True,
    }
    return Asker(model, **{**given, **changes})


def sse(*chunks: dict[str, Any] | str) -> bytes:
    """A stream of `chunks`, written as chat servers write them."""
    datas = [one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in chunks]
    return "".join(f"data: {data}\n\n" for data in datas).encode()


def decoded(stream: bytes) -> list[ev.Event]:
    """All events of a whole stream."""
    from ds2api.dialects.chat import DIALECT

    decoder = DIALECT.decoder()
    return [*decoder.feed(stream), *decoder.end()]
