"""The client's side of an answer, whatever lane it came by: heads, warnings, whole bodies, errors.

An answer is told in one of three ways: whole (`send_whole`), as a stream (`stream`), as an error (`refuse`: a status
while none has left, else the in-stream form of the dialect). The record is kept true along the way.
"""

from __future__ import annotations

from ds2api.dialects.contract import Dialect, Encoder
from ds2api.gateway.client_stream import ClientStream
from ds2api.gateway.endings import Ending
from ds2api.gateway.failures import ending_of
from ds2api.gateway.settings import Deadlines
from ds2api.records import ExchangeRecord
from ds2api.universal.errors import Error
from ds2api.universal.losses import Loss
from ds2api.universal.usage import Usage
from ds2api.wire.server import Incoming
from ds2api.wire.timers import TimerWheel

__all__ = ["ClientAnswer"]

# "At most 16 and then more=N" (design): as many as fit beside a usual head.
_WARNINGS_MOST = 16


class ClientAnswer:
    """The answer to one request that came at `began_at`. `losses` are what the translation could not carry, as far as
    is known."""

    __slots__ = ("_began_at", "_dialect", "_incoming", "losses", "record", "stream")

    def __init__(self, incoming: Incoming, dialect: Dialect, record: ExchangeRecord, began_at: float) -> None:
        self._began_at = began_at
        self._incoming = incoming
        self._dialect = dialect
        self.record = record
        self.losses: list[Loss] = []
        self.stream: ClientStream | None = None  # where the client asked for one

    @property
    def content_sent(self) -> bool:
        """Something of an answer has left: nothing may be tried again."""
        return self._incoming.started if self.stream is None else self.stream.content_sent

    def open_stream(self, encoder: Encoder, wheel: TimerWheel, deadlines: Deadlines) -> None:
        """The client wants a stream: its head leaves with the first content, or by time."""
        headers = [
            ("content-type", encoder.stream_type),
            ("cache-control", "no-cache"),
            ("x-accel-buffering", "no"),  # nginx in front of us must not buffer
            ("x-ds2api-request-id", self.record.id),
        ]
        self.stream = ClientStream(
            self._incoming,
            encoder,
            headers,
            wheel,
            commit_after_s=deadlines.commit_after_s,
            alive_idle_s=deadlines.alive_idle_s,
        )

    def commit(self, encoder: Encoder, now: float) -> None:
        """Content of a stream is there. What the head cannot say any more, `encoder` says before the end."""
        assert self.stream is not None
        self.record.first_byte_s = now - self._began_at
        if not self.stream.commit(self.late_headers()):
            known = set(encoder.losses)
            encoder.losses.extend(loss for loss in self.losses if loss not in known)

    def send_whole(self, body: bytes) -> None:
        """The answer in one piece."""
        self.record.status = 200
        headers = [("content-type", "application/json"), ("x-ds2api-request-id", self.record.id)]
        self._incoming.respond(200, headers + self.late_headers(), body)

    def late_headers(self) -> list[tuple[str, str]]:
        """What is known only with the provider's answer: its id, and what could not be carried."""
        headers = [(self._dialect.request_id_header, self.record.upstream_id or self.record.id)]
        if self.losses:
            self.record.losses = [f"{loss.code} {loss.path}" for loss in self.losses]
            shown = self.losses[:_WARNINGS_MOST]
            headers += [("x-ds2api-warning", loss.warning) for loss in shown]
            if len(self.losses) > len(shown):
                headers.append(("x-ds2api-warning", f"more={len(self.losses) - len(shown)}"))
        return headers

    def served(self, usage: Usage | None) -> None:
        """The answer is complete."""
        record = self.record
        record.ending, record.status = Ending.SERVED, record.status or 200
        if usage is not None:
            record.input_tokens, record.output_tokens = usage.input_total, usage.output_total

    def refuse(self, error: Error) -> None:
        """Tell the client what went wrong: as a status while none has left, else in the stream."""
        record, incoming = self.record, self._incoming
        record.reason = f"{error.kind} {error.param or ''}".strip()
        if not record.ending:
            record.ending = ending_of(error, content_sent=self.content_sent)
        if incoming.finished:
            return
        if incoming.started:
            record.status = 200
            if self.stream is not None:
                self.stream.fail(error)
            else:
                incoming.abort()
            return
        written = self._dialect.write_error(error, record.id)
        record.status = written.status
        headers = [
            ("content-type", "application/json"),
            (self._dialect.request_id_header, record.upstream_id or record.id),
            ("x-ds2api-request-id", record.id),
            *written.headers,
        ]
        incoming.respond(written.status, headers, written.body)

    def close(self) -> None:
        """Stop the timers. Harmless twice."""
        if self.stream is not None:
            self.stream.close()
