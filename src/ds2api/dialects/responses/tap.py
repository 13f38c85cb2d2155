"""Watches a relayed stream: content, end, error, usage, and the answer's id; every byte passes as it came.

An error event is taken out: the lane writes it anew, without whatever a provider may have put into its text. Each event
is named in its first line: once content was seen and some deltas have taught their frames (`relay_tap`), the names of
those that tell nothing are enough.
"""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.relay_tap import RelayTap
from ds2api.dialects.responses.errors import read_stream_error, truncated
from ds2api.dialects.responses.finish import FAILURES
from ds2api.dialects.responses.usage import read_usage

__all__ = ["ResponsesTap"]

_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
_SILENT_ITEMS = frozenset({"message", "reasoning"})  # items that say nothing by beginning
_TELLS_NOTHING = (b".delta", b".done", b".added")
# How many deltas are parsed in the hope of a frame: a few for every part of an answer.
_LESSONS = 32


class ResponsesTap(RelayTap):
    """See `contract.Tap`. One for each stream."""

    __slots__ = ("_lessons",)

    def __init__(self) -> None:
        super().__init__()
        self._lessons = _LESSONS

    def note(self, data: bytes, name: bytes) -> bool:
        """See `RelayTap`."""
        try:
            event = jsons.parse_event(data)
        except jsons.JsonError:
            return self.refuse()
        if not isinstance(event, dict):
            return self.refuse()
        kind = event.get("type")
        if kind == "error" or name == b"error" or (not isinstance(kind, str) and event.get("error")):
            self.error = read_stream_error(event)
            return True
        if not isinstance(kind, str):
            return False
        response = event.get("response")
        if isinstance(response, dict):
            return self._note_response(kind, response)
        if kind.endswith(".delta"):
            self.content_seen = True
            text = event.get("delta")
            self.delta_text = text if isinstance(text, str) else ""
        elif kind.startswith("response.output_item."):
            item = event.get("item")
            if kind.endswith(".done") or not (isinstance(item, dict) and str(item.get("type")) in _SILENT_ITEMS):
                self.content_seen = True
        return False

    def finish(self) -> None:
        """See `RelayTap`: without its terminal event a response is not complete."""
        self.error = truncated()

    def _note_response(self, kind: str, response: dict[str, Any]) -> bool:
        identity = response.get("id")
        if self.answer_id is None and isinstance(identity, str):
            self.answer_id = identity
        if kind not in _ENDS:
            return False
        self.usage = read_usage(response.get("usage")) or self.usage
        if kind in ("response.failed", "response.cancelled") or response.get("status") in tuple(FAILURES):
            self.error = read_stream_error({"response": response})
            return True
        self.content_seen = True
        self.ended = True
        return False

    def _look(self, event: bytes) -> bool:
        """Most events need not be parsed once content was seen."""
        if self.content_seen and event.startswith(b"event: response.") and event.endswith(b"}"):
            name = event[: event.find(b"\n")]
            is_lesson = self._lessons > 0 and name.endswith(b".delta")
            self._lessons -= is_lesson
            return (is_lesson or not name.endswith(_TELLS_NOTHING)) and super()._look(event)
        return super()._look(event)
