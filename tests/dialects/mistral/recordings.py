"""The recordings that these tests use: those in the repository, and all others where they lie beside it."""

from __future__ import annotations

from pathlib import Path

from tests.dialects.chat.recordings import Recording

__all__ = ["REQUESTS", "RESPONSES", "STREAMS"]

_HERE = Path(__file__).parents[2] / "recorded" / "mistral"
_BESIDE = Path(__file__).parents[3].parent / "shared" / "recorded" / "chat-mistral"

_FOLDERS = {folder.name: folder for root in (_BESIDE, _HERE) if root.is_dir() for folder in sorted(root.iterdir())}
_ALL = [Recording(name, folder) for name, folder in _FOLDERS.items()]
REQUESTS = [one for one in _ALL if (one.folder / "request.json").exists()]
RESPONSES = [one for one in _ALL if (one.folder / "response.json").exists()]
STREAMS = [one for one in _ALL if (one.folder / "stream.sse").exists()]
