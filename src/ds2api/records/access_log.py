"""One line for each exchange: what came, what was done, how it ended. No content, no key, ever.

The line is written after the answer, off the data plane; lines of one turn of the loop leave in one write. When
the stream is gone or full (a closed pipe, a full disk) lines are counted as lost and the count is told with the
next one that can be written: logging never stops a request.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Literal, TextIO

from ds2api import jsons

__all__ = ["AccessLog", "ExchangeRecord", "LogFormat"]

LogFormat = Literal["text", "json", "off"]


@dataclass(slots=True)
class ExchangeRecord:
    """What is known of one exchange when it is over. Times in seconds; None is unknown or did not happen."""

    id: str
    method: str = ""
    path: str = ""  # without the query: a `?key=` would stand in it
    peer: str = ""
    caller: str = ""
    status: int | None = None
    ending: str = ""
    client_dialect: str = ""
    upstream_dialect: str = ""
    lane: str = ""
    model: str = ""
    target: str = ""  # provider/model
    account: str = ""
    upstream_id: str = ""  # the provider's own request id
    attempts: int = 0
    hedged: bool | None = None  # a second attempt was begun beside the first
    rescued: int | None = None  # how often an answer that broke off was continued
    tried: list[str] = field(default_factory=list)  # account: verdict, for each attempt that failed
    wait_s: float | None = None  # in line for an account
    first_byte_s: float | None = None
    total_s: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    losses: list[str] = field(default_factory=list)
    reason: str = ""  # of a failure


class AccessLog:
    """Writes records to `stream`. `schedule` runs a callback soon (the loop's `call_soon`); without it each line
    is written at once."""

    def __init__(
        self,
        stream: TextIO,
        style: LogFormat = "text",
        *,
        schedule: Callable[[Callable[[], None]], object] | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._stream = stream
        self._style = style
        self._schedule = schedule
        self._wall = wall
        self._lines: list[str] = []
        self.lost = 0

    def exchange(self, record: ExchangeRecord) -> None:
        """Log `record`."""
        if self._style == "off":
            return
        self._add(_json_line(record, self._wall()) if self._style == "json" else _text_line(record, self._wall()))

    def note(self, text: str) -> None:
        """Log something that belongs to no exchange."""
        if self._style == "json":
            self._add(jsons.dump({"at": round(self._wall(), 3), "note": text}).decode())
        elif self._style == "text":
            self._add(f"{_clock(self._wall())} {text}")

    def flush(self) -> None:
        """Write what waits."""
        if not self._lines:
            return
        lines, self._lines = self._lines, []
        if self.lost:
            lines.insert(0, f"({self.lost} log lines were lost)")
        try:
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()
            self.lost = 0
        except (OSError, ValueError):  # ValueError: the stream was closed
            self.lost += len(lines)

    def _add(self, line: str) -> None:
        self._lines.append(line)
        if self._schedule is None:
            self.flush()
        elif len(self._lines) == 1:
            self._schedule(self.flush)


_FIELDS = tuple(one.name for one in fields(ExchangeRecord))
_VALUES = attrgetter(*_FIELDS)
_LINE = ("at", *_FIELDS)
_NUMBERS = (int, float)  # of which 0 is told, too
_SECONDS = ("wait_s", "first_byte_s", "total_s")


def _json_line(record: ExchangeRecord, wall_s: float) -> str:
    # Not `dataclasses.asdict`, which copies every value deeply: 130 µs a line against 4.
    values = zip(_LINE, (round(wall_s, 3), *_VALUES(record)), strict=True)
    line = {name: value for name, value in values if value or type(value) in _NUMBERS}
    for name in _SECONDS:
        if line.get(name):
            line[name] = round(line[name], 4)
    return jsons.dump(line).decode()


def _text_line(record: ExchangeRecord, wall_s: float) -> str:
    words = [_clock(wall_s), record.method, record.path, str(record.status or "-"), record.ending]
    if record.lane:
        way = record.client_dialect
        if record.upstream_dialect != record.client_dialect:
            way += f"→{record.upstream_dialect}"
        words.append(f"{record.lane}({way})")
    if record.model:
        words.append(record.model if not record.target else f"{record.model}→{record.target}")
    if record.account:
        words.append(f"account={record.account}")
    if record.attempts > 1 or record.tried:
        words.append(f"attempts={record.attempts}")
    if record.tried:
        words.append("tried=[" + ", ".join(record.tried) + "]")
    words += [name for name in ("hedged", "rescued") if getattr(record, name)]
    for name, seconds in (("wait", record.wait_s), ("first", record.first_byte_s), ("total", record.total_s)):
        if seconds is not None and (name != "wait" or seconds >= 0.001):
            words.append(f"{name}={seconds * 1000:.0f}ms")
    if record.input_tokens is not None or record.output_tokens is not None:
        words.append(f"tokens={_or_unknown(record.input_tokens)}+{_or_unknown(record.output_tokens)}")
    if record.losses:
        words.append(f"losses={len(record.losses)}")
    if record.caller and record.caller != "anonymous":
        words.append(f"caller={record.caller}")
    if record.reason:
        words.append(f"reason={_one_line(record.reason)!r}")
    words.append(record.id)
    return " ".join(words)


def _clock(wall_s: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(wall_s))


def _or_unknown(count: int | None) -> str:
    return "?" if count is None else str(count)


def _one_line(text: str) -> str:
    """Without what could forge a second line or move the cursor of a terminal."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    return shown if len(shown) <= 300 else shown[:300] + "…"
