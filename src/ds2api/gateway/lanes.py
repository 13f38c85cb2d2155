"""The lanes of a stream: what happens to a provider's bytes on their way to the client.

Two objects with the same doors. `Relay` watches and passes; `Translate` decodes, undoes what the request's
translation changed, and encodes. Both are plain synchronous code on the data plane: bytes in, bytes out, all the
events of one read together. Neither knows a socket, a task or a clock.

What both promise: an error that comes before any content is kept in `error` and not a byte of it is given out, so
that the exchange may still try elsewhere; after content it is given out in the client's own form, unless what came so
far can be continued elsewhere (`is_cut`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ds2api.dialects.contract import Decoder, Encoder, Tap
from ds2api.dialects.delta_splice import Splice
from ds2api.gateway.course import Course
from ds2api.gateway.rescue import SoFar
from ds2api.universal import events as ev
from ds2api.universal.errors import Error
from ds2api.universal.usage import Usage

__all__ = ["Lane", "Relay", "Translate"]


# So many events of one read are read on their own in search of one that teaches a frame: the start of an answer and its
# first delta are 5 in Responses, the most talkative.
_LESSONS = 8


class Lane(Protocol):
    @property
    def content_seen(self) -> bool:
        """Something that a client would call an answer has come."""
        ...

    @property
    def ended(self) -> bool:
        """The answer is complete: nothing that follows matters."""
        ...

    @property
    def error(self) -> Error | None: ...

    @property
    def usage(self) -> Usage | None: ...

    @property
    def answer_id(self) -> str | None:
        """Under what id the provider itself keeps the answer, as far as is known."""
        ...

    @property
    def is_cut(self) -> bool:
        """It broke off, the client has not been told, and may not need to be."""
        ...

    def feed(self, data: bytes) -> bytes:
        """The client's bytes for the provider's `data`."""
        ...

    @property
    def shortcut(self) -> Callable[[bytes], tuple[bytes, int]]:
        """In place of `feed`, for bytes that begin with a chunk, framing and all: the client's chunks for the first of
        them, as far as each holds exactly one delta in a known frame, and how many bytes of `data` they were. The rest
        is to be fed."""
        ...

    def end(self) -> bytes:
        """The provider's bytes are over."""
        ...

    def fail(self, error: Error) -> bytes:
        """It ends with `error`, which was found outside."""
        ...


class Relay:
    """Same dialect on both sides: bytes pass as they are, a `Tap` reads usage and the end."""

    __slots__ = ("_encoder", "_failure", "_tap", "shortcut")
    is_cut = False

    def __init__(self, tap: Tap, encoder: Encoder) -> None:
        self._tap = tap
        self.shortcut = tap.shortcut
        self._failure: Error | None = None
        self._encoder = encoder  # writes nothing but the error form

    @property
    def content_seen(self) -> bool:
        return self._tap.content_seen

    @property
    def ended(self) -> bool:
        return self._tap.ended

    @property
    def error(self) -> Error | None:
        return self._failure or self._tap.error

    @property
    def usage(self) -> Usage | None:
        return self._tap.usage

    @property
    def answer_id(self) -> str | None:
        return self._tap.answer_id

    def feed(self, data: bytes) -> bytes:
        return self._passed(self._tap.forward(data))

    def end(self) -> bytes:
        return self._passed(self._tap.end())

    def fail(self, error: Error) -> bytes:
        self._failure = error
        return self._encoder.encode([ev.Failed(error)])

    def _passed(self, data: bytes) -> bytes:
        """`data`, and behind it an error in the dialect's own words (which the encoder says once): the provider's
        are not trusted to hold no key."""
        error = self._tap.error
        if error is None:
            return data
        return data + self._encoder.encode([ev.Failed(error)]) if self._tap.content_seen else b""


class Translate:
    """Provider's dialect to client's, event by event."""

    __slots__ = (
        "_can_splice", "_course", "_decoder", "_encoder", "_so_far", "_splice", "answer_id", "content_seen", "ended",
        "error", "usage",
    )  # fmt: skip

    def __init__(
        self, decoder: Decoder, encoder: Encoder, course: Course | None = None, so_far: SoFar | None = None
    ) -> None:
        self._decoder = decoder
        self._encoder = encoder
        self._course = course
        self._so_far = so_far  # the last step of `course`, where the answer may be rescued
        self._splice: Splice | None = None
        self._can_splice = course is None or course.only_listens
        self.content_seen = False
        self.ended = False
        self.error: Error | None = None
        self.usage: Usage | None = None
        self.answer_id: str | None = None  # what was translated is not what the provider keeps

    def feed(self, data: bytes) -> bytes:
        framed = self._decoder.framed
        if framed is None or not self._can_splice:
            return self._read(data)
        # --- hot: of many events in one read only those that teach a frame, and the last, are read ---
        made: list[bytes] = []
        for _ in range(_LESSONS):
            splice = self._spliced()
            if splice is not None:
                spliced, used = splice.take(data)
                made.append(spliced)
                data = data[used:]
                if splice.is_full:
                    self._tell()
            end = _first_end(data, framed.ending)
            if end == 0 or self.ended or self.error is not None:
                break
            made.append(self._read(data[:end]))
            data = data[end:]
        if data:
            made.append(self._read(data))
        return b"".join(made)

    def shortcut(self, data: bytes) -> tuple[bytes, int]:
        splice = self._splice or self._spliced()
        if splice is None:
            return b"", 0
        made, used = splice.take(data, in_chunks=True)
        if not used:
            return b"", 0
        if splice.is_full:
            self._tell()
        return (b"%x\r\n%b\r\n" % (len(made), made) if made else b""), used

    def _spliced(self) -> Splice | None:
        if self._splice is None and self._can_splice and not self.ended and self.error is None:
            framed = self._decoder.framed
            self._splice = None if framed is None else Splice.between(framed, self._encoder)
        return self._splice

    def end(self) -> bytes:
        if self.ended or self.error is not None:
            return b""
        self._tell()
        return self._take(self._decoder.end())

    def fail(self, error: Error) -> bytes:
        self._tell()
        return self._take([ev.Failed(error)])

    @property
    def is_cut(self) -> bool:
        return self.error is not None and self.content_seen and self._so_far is not None and self._so_far.can_go_on

    def _tell(self) -> None:
        """What was spliced is told to those who did not see it."""
        splice, self._splice = self._splice, None
        delta = None if splice is None else splice.told()
        if delta is not None:
            if self._course is not None:
                self._course.events([delta])
            self._encoder.encode([delta])

    def _read(self, data: bytes) -> bytes:
        """The general way."""
        if self._splice is not None:
            self._tell()
        return self._take(self._decoder.feed(data))

    def _take(self, events: list[ev.Event]) -> bytes:
        if self._course is not None:
            events = self._course.events(events)
        for event in events:
            kind = type(event)
            if kind is ev.TextDelta:
                self.content_seen = True
            elif isinstance(event, ev.UsageSeen):
                self._use(event.usage)
            elif kind is ev.Ended:
                self.ended = True
            elif isinstance(event, ev.Failed):
                self.error = event.error
                if not self.content_seen:
                    return b""
            elif isinstance(event, ev.Started):
                if event.usage is not None:
                    self._use(event.usage)
            elif isinstance(event, ev.CONTENT) or (isinstance(event, ev.PartStarted) and event.kind == "call"):
                self.content_seen = True
        if self.error is not None and self.is_cut:
            events = [event for event in events if type(event) is not ev.Failed]
        return self._encoder.encode(events)

    def _use(self, usage: Usage) -> None:
        if self.usage is None:
            self.usage = Usage()
        self.usage.merge(usage)


def _first_end(data: bytes, ending: bytes) -> int:
    """Where the first event of `data` ends; 0 if it does not. `ending` is how they ended so far."""
    end = data.find(ending)
    if end < 0 and ending == b"\n\n":  # of the first event nobody knows yet
        ending = b"\r\n\r\n"
        end = data.find(ending)
    return end + len(ending) if end >= 0 else 0
