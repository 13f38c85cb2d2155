"""Whole answers. One that came in one piece is a stream of one event and is read by the decoder; one that is written is
what the encoder would have streamed, put together: neither can differ in meaning from a stream."""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import Asker
from ds2api.dialects.gemini.decoder import GeminiDecoder
from ds2api.dialects.gemini.encoder import GeminiEncoder
from ds2api.dialects.gemini.errors import broken, read_stream_error
from ds2api.dialects.gemini.finish import failure_of
from ds2api.dialects.gemini.usage import read_usage
from ds2api.universal.errors import Problem
from ds2api.universal.losses import Loss
from ds2api.universal.response import Response, fold, play
from ds2api.universal.usage import Usage

__all__ = ["read_response", "read_usage_alone", "write_response"]


def read_response(body: dict[str, Any]) -> Response:
    """Raises `Problem` with the provider's error, or UPSTREAM_BROKEN."""
    return fold(GeminiDecoder().whole(body))


def read_usage_alone(body: dict[str, Any]) -> Usage | None:
    """The counters of a whole answer that is relayed. Raises `Problem` as `read_response` does."""
    if "error" in body:
        raise Problem(read_stream_error(body))
    candidates = body.get("candidates")
    feedback = body.get("promptFeedback")
    candidates = candidates if isinstance(candidates, list) else []
    if not candidates and not (isinstance(feedback, dict) and feedback.get("blockReason")):
        raise Problem(broken("its answer holds no candidates"))
    for candidate in candidates:
        if isinstance(candidate, dict):
            failure = failure_of(candidate.get("finishReason"), candidate.get("finishMessage"))
            if failure is not None:
                raise Problem(failure)
    return read_usage(body.get("usageMetadata"))


def write_response(response: Response, asker: Asker) -> tuple[bytes, list[Loss]]:
    """The body, and what it could not carry."""
    collector = _Collector(asker)
    collector.encode(play(response))
    return jsons.dump(collector.body), collector.losses


class _Collector(GeminiEncoder):
    """An encoder that puts its responses together into one."""

    def __init__(self, asker: Asker) -> None:
        super().__init__(asker)
        self.body: dict[str, Any] = {}
        self._collected: dict[int, list[dict[str, Any]]] = {}
        self._logprobs: dict[int, Any] = {}
        self._latest: Any = None  # the part whose text was written last

    def _write_text(self, part: Any, text: str, out: list[bytes]) -> None:
        event = jsons.parse_object(b"".join((part.head, jsons.dump_text(text), part.tail)))
        self._collected.setdefault(part.choice.index, []).append(event["candidates"][0]["content"]["parts"][0])
        self._latest = part.choice.index

    def _write_part(self, part: dict[str, Any], choice: Any, out: list[bytes]) -> None:
        """A signature in an empty text belongs to the text before it, which was written in the same breath."""
        parts = self._collected.setdefault(choice.index, [])
        if part.get("text") == "" and self._latest == choice.index:
            parts[-1]["thoughtSignature"] = part["thoughtSignature"]
        else:
            parts.append(part)
        self._latest = None

    def _write(self, out: list[bytes], *pieces: bytes) -> None:
        """Only log-probabilities come this way."""
        candidate = jsons.parse_object(b"".join(pieces))["candidates"][0]
        self._logprobs[candidate["index"]] = candidate["logprobsResult"]

    def _write_end(self, body: dict[str, Any], out: list[bytes]) -> None:
        for candidate in body.get("candidates", ()):
            candidate["content"]["parts"] = self._collected.get(candidate["index"], [])
            if candidate["index"] in self._logprobs:
                candidate["logprobsResult"] = self._logprobs[candidate["index"]]
        self.body = body
