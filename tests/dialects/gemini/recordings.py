"""The recordings that these tests use: those in the repository, and all others where they lie beside it."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ds2api.dialects.contract import Asker

__all__ = [
    "COUNTS",
    "PATH",
    "REQUESTS",
    "RESPONSES",
    "STREAMS",
    "STREAM_PATH",
    "Recording",
    "asker",
    "load",
    "name_of",
    "normalised",
]

PATH = "/v1beta/models/gemini-2.5-flash:generateContent"
STREAM_PATH = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
_SNAKE = re.compile(r"(?<=[a-z0-9])_([a-z0-9])")
_FREE = ("args", "response", "parametersJsonSchema", "responseJsonSchema", "parameters", "responseSchema")
_HERE = Path(__file__).parents[2] / "recorded" / "gemini"
_BESIDE = Path(__file__).parents[4] / "shared" / "recorded" / "gemini"


@dataclass(frozen=True)
class Recording:
    name: str
    folder: Path

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def json(self, name: str) -> Any:
        return json.loads((self.folder / f"{name}.json").read_text())

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
_GENERATE = [one for one in _ALL if not one.name.startswith(("count-tokens", "embeddings"))]
COUNTS = [one for one in _ALL if one.name.startswith("count-tokens")]
REQUESTS = [one for one in _GENERATE if one.has("request.json")]
RESPONSES = [one for one in _GENERATE if one.has("response.json") and one.json("meta")["status"] == 200]
STREAMS = [one for one in _GENERATE if one.has("stream.sse")]


def load(name: str) -> Recording:
    return Recording(name, _HERE / name)


def name_of(recording: Recording) -> str:
    return recording.name


def asker(model: str = "alias", **changes: Any) -> Asker:
    numbers = itertools.count()
    return Asker(model, **{"request_id": "req_own", "created": 1, "new_id": lambda: f"new{next(numbers)}", **changes})


def normalised(value: Any, name: str = "") -> Any:
    """The documented equivalences: snake_case is camelCase, one object is an array of it, an empty config is none, and
    base64 has two alphabets and may leave out its padding."""
    if name in _FREE:
        return value
    if isinstance(value, list):
        return [normalised(one, name) for one in value]
    if not isinstance(value, dict):
        return value.replace("-", "+").replace("_", "/").rstrip("=") if name == "data" else value
    written = {}
    for key, one in value.items():
        plain = _SNAKE.sub(lambda found: found[1].upper(), key)
        inner = normalised(one, plain)
        if (plain, inner) == ("generationConfig", {}):
            continue
        written[plain] = [inner] if plain in ("tools", "parts") and isinstance(inner, dict) else inner
    return written
