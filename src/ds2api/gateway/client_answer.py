"""The client's side of an answer, whatever lane it came by: heads, warnings, whole bodies, errors.

An answer is told in one of three ways: whole (`send_whole`), as a stream (`stream`), as an error (`refuse`: a status
while none has left, else the in-stream form of the dialect). The record is kept true along the way.
"""

from __future__ import annotations

from ds2api.dialects.contract import Dialect, Encoder
from ds2api.gateway.client_stream import ClientStream
from ds2api.gateway.endings import Ending
from ds2api.gateway.failures import ending_of
from ds2api.gateway.rescue import Cut, added
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

    __slots__ = ("began_at", "cut", "dialect", "incoming", "losses", "record", "served_by", "spent", "stream")

    def __init__(self, incoming: Incoming, dialect: Dialect, record: ExchangeRecord, began_at: float) -> None:
        self.began_at = began_at
        self.incoming = incoming
        self.dialect = dialect
        self.record = record
        self.losses: list[Loss] = []
        self.served_by = ""  # who generates it, in the operator's own words: "openai/gpt-4.1; account=a"
        self.stream: ClientStream | None = None  # where the client asked for one
        self.cut: Cut | None = None  # where its stream broke off, as long as nobody goes on
        self.spent: Usage | None = None  # what the attempts before the last have cost that had a part in it

    @property
    def content_sent(self) -> bool:
        """Something of an answer has left that nobody can continue: nothing may be tried again."""
        if self.stream is None:
            return self.incoming.started
        return self.stream.content_sent and self.cut is None

    def claim(self) -> ClientAnswer:
        """Whoever is about to tell the client something says so first, and tells it to what this gives: one of two
        that race is stopped here."""
        return self

    def open_stream(self, encoder: Encoder, wheel: TimerWheel, deadlines: Deadlines) -> None:
        """The client wants a stream: its head leaves with the first content, or by time."""
        headers = [
            ("content-type", encoder.stream_type),
            ("cache-control", "no-cache"),
            ("x-accel-buffering", "no"),  # nginx in front of us must not buffer
            ("x-ds2api-request-id", self.record.id),
        ]
        self.stream = ClientStream(
            self.incoming,
            encoder,
            headers,
            wheel,
            commit_after_s=deadlines.commit_after_s,
            alive_idle_s=deadlines.alive_idle_s,
        )

    def commit(self, encoder: Encoder, now: float) -> None:
        """Content of a stream is there. What the head cannot say any more, `encoder` says before the end."""
        assert self.stream is not None
        headers = self.late_headers()
        if self.cut is not None:  # it goes on: the encoder knows all that is new
            self.record.rescued = (self.record.rescued or 0) + 1
            self.spent, self.cut = self.cut.spent, None
            return
        self.record.first_byte_s = now - self.began_at
        if not self.stream.commit(headers, encoder):
            known = set(encoder.losses)
            encoder.losses.extend(loss for loss in self.losses if loss not in known)

    def send_whole(self, body: bytes) -> None:
        """The answer in one piece."""
        self.record.status = 200
        headers = [("content-type", "application/json"), ("x-ds2api-request-id", self.record.id)]
        self.incoming.respond(200, headers + self.late_headers(), body)

    def late_headers(self) -> list[tuple[str, str]]:
        """What is known only with the provider's answer: its id, who gave it, and what could not be carried."""
        headers = [(self.dialect.request_id_header, self.record.upstream_id or self.record.id)]
        if self.served_by:
            headers.append(("x-ds2api-served-by", self.served_by))
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
        if self.spent is not None:
            usage = added(self.spent, usage or Usage())
        if usage is not None:
            record.input_tokens, record.output_tokens = usage.input_total, usage.output_total

    def refuse(self, error: Error) -> None:
        """Tell the client what went wrong: as a status while none has left, else in the stream."""
        record, incoming, cut = self.record, self.incoming, self.cut
        if cut is not None:
            error = cut.error  # what became of the attempts to go on is not why the answer is not whole (R118)
        record.reason = f"{error.kind} {error.param or ''}".strip()
        if cut is not None or not record.ending:
            record.ending = ending_of(error, content_sent=cut is not None or self.content_sent)
        if incoming.finished:
            return
        if incoming.started:
            record.status = 200
            if self.stream is not None:
                self.stream.fail(error, None if cut is None else cut.encoder)
            else:
                incoming.abort()
            return
        written = self.dialect.write_error(error, record.id)
        record.status = written.status
        headers = [
            ("content-type", "application/json"),
            (self.dialect.request_id_header, record.upstream_id or record.id),
            ("x-ds2api-request-id", record.id),
            *written.headers,
        ]
        incoming.respond(written.status, headers, written.body)
