"""What is asked, and what the mock answers to it: both sides of one agreement.

The question's text tells the mock what to answer (``ds2api-bench id=… events=… pace_ms=… bytes=…``), so any gateway
carries the settings to it, and one mock serves every work. A model that is no mock reads a request for some words.
Every request has an id of its own, which the mock's answer begins with: nothing is won by remembering an answer, and
nobody's answer is taken for another's. All ids are of one length, so a request is written once and then only filled in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ds2api.dialects.contract import Target
from ds2api.dialects.registry import DIALECTS
from ds2api.universal.parts import Text
from ds2api.universal.request import Request, Turn

__all__ = ["MARK", "MOCK_WORD", "WORKS", "Question", "Script", "Work", "find_script", "is_of_mock", "pieces"]

MARK = "q" * 16  # stands where an id will
MOCK_WORD = "ds2api-mock"
_SCRIPT = re.compile(rb"ds2api-bench id=(\w{16}) events=(\d{1,5}) pace_ms=(\d{1,5}) bytes=(\d{1,5})")
_FILLER = "The quick brown fox jumps over the lazy dog. "


@dataclass(frozen=True, slots=True)
class Script:
    """What the mock answers: `events` pieces of text, each of `event_bytes`, and `pace_ms` between them."""

    events: int
    pace_ms: int
    event_bytes: int


@dataclass(frozen=True, slots=True)
class Work:
    """A kind of request. `prompt_bytes` is the least size of its text."""

    name: str
    stream: bool
    script: Script
    prompt_bytes: int = 0
    max_tokens: int = 256


# `paced` is what a model does that writes 100 words a second; `stream` is what a gateway is held up by.
WORKS = {
    "json": Work("json", False, Script(25, 0, 8)),
    "stream": Work("stream", True, Script(100, 0, 8)),
    "paced": Work("paced", True, Script(50, 10, 8)),
}


class Question:
    """A work, written for one place; `fill` gives one request of it."""

    def __init__(self, dialect: str, model: str, flavour: str, work: Work) -> None:
        """Raises `Problem` for what the dialect cannot say."""
        script = work.script
        text = (
            f"Please write about {script.events} words about anything. (ds2api-bench id={MARK} "
            f"events={script.events} pace_ms={script.pace_ms if work.stream else 0} bytes={script.event_bytes}) "
        )
        text += (_FILLER * (work.prompt_bytes // len(_FILLER) + 1))[: max(work.prompt_bytes - len(text), 0)]
        request = Request(
            "bench",
            model,
            [Turn("user", [Text(text.strip())], plain=True)],
            stream=work.stream,
            stream_usage=True if work.stream else None,
            max_output_tokens=work.max_tokens,
        )
        written = DIALECTS[dialect].write_request(request, Target("bench", model, flavour))
        self.path = written.path
        self.headers = [*written.headers, ("content-type", "application/json"), ("user-agent", "ds2api-bench")]
        self._body = written.body
        self.text_bytes = len(text)

    def fill(self, id_: str) -> bytes:
        """The body with `id_`, which is as long as `MARK`."""
        return self._body.replace(MARK.encode(), id_.encode())


def find_script(body: bytes) -> tuple[str, Script] | None:
    """What a request for the mock says, whatever dialect it came in."""
    found = _SCRIPT.search(body)
    if found is None:
        return None
    return found[1].decode(), Script(max(int(found[2]), 1), int(found[3]), max(int(found[4]), 1))


def pieces(script: Script, id_: str) -> list[str]:
    """The mock's answer, piece by piece; the first holds the id."""
    rest = [f" w{number:05}".ljust(script.event_bytes, "x")[: script.event_bytes] for number in range(1, script.events)]
    return [f"{MOCK_WORD} {id_}", *rest]


def is_of_mock(text: str) -> bool:
    return text.startswith(MOCK_WORD + " ")
