"""Watches a relayed Gemini stream: content, end, error and usage; every byte passes as it came.

There is no terminal marker, so whether the answer was complete is known when the bytes end. An error, or a finish that
stands for one (R028), is taken out: the lane writes it anew.

Usage counts up in every event; the learned frame leaves the counts out, and of the events that were only compared the
last is parsed when somebody asks for the usage.
"""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.gemini.errors import read_stream_error, truncated
from ds2api.dialects.gemini.finish import failure_of
from ds2api.dialects.gemini.usage import read_usage
from ds2api.dialects.relay_tap import RelayTap
from ds2api.universal.usage import Usage

__all__ = ["GeminiTap"]


class GeminiTap(RelayTap):
    """See `contract.Tap`."""

    __slots__ = ("_counted", "_finished")

    def __init__(self) -> None:
        self._counted: dict[str, Any] = {}
        super().__init__()
        self._finished: dict[int, bool] = {}  # candidate → it has its finish reason

    @property
    def usage(self) -> Usage | None:
        """What was counted so far."""
        if self.latest:
            event, self.latest = self.latest, b""
            self._look_closely(event)
        return read_usage(self._counted)

    @usage.setter
    def usage(self, value: Usage | None) -> None:
        """Nothing but the stream sets it."""

    def note(self, data: bytes, name: bytes) -> bool:
        """See `RelayTap`."""
        try:
            chunk = jsons.parse_event(data)
        except jsons.JsonError:
            return self.refuse()
        if isinstance(chunk, list) and chunk:
            chunk = chunk[0]
        if not isinstance(chunk, dict):
            return self.refuse()
        if "error" in chunk:
            self.error = read_stream_error(chunk)
            return True
        feedback = chunk.get("promptFeedback")
        if isinstance(feedback, dict) and feedback.get("blockReason"):
            self.content_seen = True
            self._finished.setdefault(0, True)
        candidates = chunk.get("candidates")
        for place, candidate in enumerate(candidates if isinstance(candidates, list) else ()):
            if isinstance(candidate, dict):
                self._note_candidate(candidate, place)
        usage = chunk.get("usageMetadata")
        if isinstance(usage, dict) and usage:
            self._counted |= usage
            self.latest = b""
        return self.error is not None

    def finish(self) -> None:
        """See `RelayTap`: complete if every candidate has its finish reason."""
        if self._finished and all(self._finished.values()):
            self.ended = True
        else:
            self.error = truncated()

    def _note_candidate(self, candidate: dict[str, Any], place: int) -> None:
        index = candidate.get("index", place)
        index = index if isinstance(index, int) and index >= 0 else place
        word = candidate.get("finishReason")
        is_finished = isinstance(word, str) and bool(word)
        self._finished[index] = is_finished or self._finished.get(index, False)
        self.error = self.error or failure_of(word, candidate.get("finishMessage"))
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        parts = parts if isinstance(parts, list) else []
        if parts or is_finished:
            self.content_seen = True
        if len(parts) == 1 and isinstance(parts[0], dict) and parts[0].keys() <= {"text", "thought"}:
            text = parts[0].get("text")
            self.delta_text = text if isinstance(text, str) else ""
