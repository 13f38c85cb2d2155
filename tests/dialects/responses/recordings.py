"""The recordings that these tests use: those in the repository, and all others where they lie beside it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from ds2api.dialects.contract import Asker
from ds2api.dialects.responses import DIALECT
from ds2api.universal import events as ev

__all__ = ["REQUESTS", "RESPONSES", "STREAMS", "Recording", "asker", "decoded", "load", "sse", "streams_of"]

_HERE = Path(__file__).parents[2] / "recorded" / "responses"
_BESIDE = Path(__file__).parents[4] / "shared" / "recorded" / "openai-responses"


@dataclass(frozen=True)
class Recording:
    name: str
    folder: Path

    @property
    def status(self) -> int:
        return int(json.loads((self.folder / "meta.json").read_text())["status"])

    def _read(self, name: str) -> dict[str, Any]:
        value: dict[str, Any] = json.loads((self.folder / name).read_text())
        return value

    @property
    def request(self) -> dict[str, Any]:
        return self._read("request.json")

    @property
    def response(self) -> dict[str, Any]:
        return self._read("response.json")

    @property
    def stream(self) -> bytes:
        return (self.folder / "stream.sse").read_bytes()


def _found() -> list[Recording]:
    folders: dict[str, Path] = {}
    for root in (_HERE, _BESIDE):
        if root.is_dir():
            for folder in sorted(root.iterdir()):
                folders.setdefault(folder.name, folder)
    return [Recording(name, folder) for name, folder in folders.items()]


_ALL = _found()
# An answer of chat in a folder of responses.
_FOREIGN = {"azure-azure-deepseek-reasoning.1"}
REQUESTS = [one for one in _ALL if (one.folder / "request.json").exists()]
RESPONSES = [
    one for one in _ALL if (one.folder / "response.json").exists() and one.status == 200 and one.name not in _FOREIGN
]
STREAMS = [one for one in _ALL if (one.folder / "stream.sse").exists() and one.name not in _FOREIGN]


def load(name: str) -> Recording:
    return Recording(name, _HERE / name)


def streams_of(recording: Recording) -> list[bytes]:
    """Some recordings hold several exchanges one behind the other: each is a stream of its own."""
    streams: list[bytes] = []
    for event in recording.stream.replace(b"\r\n", b"\n").split(b"\n\n"):
        if not streams or re.search(rb'"type": ?"response\.created"', event):
            streams.append(b"")
        if event.strip():
            streams[-1] += event + b"\n\n"
    return streams


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


def sse(*events: dict[str, Any]) -> bytes:
    """A stream of `events`, written as OpenAI writes them."""
    written = [f"event: {one['type']}\ndata: {json.dumps(one, ensure_ascii=False)}\n\n" for one in events]
    return "".join(written).encode()


def decoded(stream: bytes) -> list[ev.Event]:
    """All events of a whole stream."""
    decoder = DIALECT.decoder()
    return [*decoder.feed(stream), *decoder.end()]
