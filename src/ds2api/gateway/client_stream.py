"""The client's side of a streamed answer: when the head leaves, what keeps it alive, how it ends.

Content is what decides (`content_sent`): as long as only the head and keep-alives have left, the exchange may
still try other accounts, and nothing of a failed attempt has been shown. Once content has left, a failure takes
the in-stream form of the client's dialect.

The head leaves with the first content (`commit`), or by time: `commit_after_s` after the request came it leaves
with a keep-alive, since clients and load balancers give up on silence. After that a keep-alive leaves whenever
nothing was *written* for `alive_idle_s`; what was read from the provider does not count.
"""

from __future__ import annotations

from collections.abc import Sequence

from ds2api.dialects.contract import Encoder
from ds2api.universal.errors import Error
from ds2api.universal.events import Failed
from ds2api.wire.server import Incoming
from ds2api.wire.timers import Deadline, TimerWheel

__all__ = ["ClientStream"]


class ClientStream:
    """One streamed answer to `incoming`. `headers` are those of the 200; `encoder` writes keep-alive and error
    form only, so it may be another one than the attempt's."""

    __slots__ = (
        "_alive_idle_s", "_commit_timer", "_encoder", "_headers", "_incoming", "_over", "_time", "_wheel",
        "content_sent",
    )  # fmt: skip

    def __init__(
        self,
        incoming: Incoming,
        encoder: Encoder,
        headers: Sequence[tuple[str, str]],
        wheel: TimerWheel,
        *,
        commit_after_s: float,
        alive_idle_s: float,
    ) -> None:
        self._incoming = incoming
        self._encoder = encoder
        self._headers = headers
        self._wheel = wheel
        self._alive_idle_s = alive_idle_s
        self._time = wheel.time
        self.content_sent = False
        self._over = False
        self._commit_timer: Deadline | None = wheel.after(commit_after_s, self._commit_by_time)

    @property
    def committed(self) -> bool:
        """The 200 has left."""
        return self._incoming.started

    def commit(self, extra_headers: Sequence[tuple[str, str]], encoder: Encoder) -> bool:
        """Content is there, written by `encoder`: let the head leave, if it has not. Returns whether `extra_headers`
        went with it."""
        self.content_sent = True
        self._encoder = encoder
        if self._incoming.started:
            return False
        self._start(extra_headers)
        return True

    def write(self, data: bytes) -> None:
        """Content, after `commit`."""
        if data and not self._over:
            self._incoming.write(data)

    def fail(self, error: Error, encoder: Encoder | None = None) -> None:
        """End a committed stream in the dialect's error form, by the `encoder` that wrote its content."""
        self.write((encoder or self._encoder).encode([Failed(error)]))
        self.finish(has_failed=True)

    def finish(self, *, has_failed: bool = False) -> None:
        """The answer is complete, or has failed and said so where its dialect has words for that. Harmless twice."""
        if self._over:
            return
        self.close()
        if has_failed and not self._encoder.tells_errors:
            self._incoming.abort()
        else:
            self._incoming.finish()

    def close(self) -> None:
        """Stop the timers; write nothing. Harmless twice."""
        self._over = True
        if self._commit_timer is not None:
            self._commit_timer.cancel()
            self._commit_timer = None

    def _start(self, extra_headers: Sequence[tuple[str, str]]) -> None:
        self._incoming.start(200, [*self._headers, *extra_headers])
        if self._commit_timer is not None:
            self._commit_timer.cancel()
        self._commit_timer = self._wheel.after(self._alive_idle_s, self._stay_alive)

    def _commit_by_time(self) -> None:
        if not self._over and not self._incoming.started:
            self._start(())
            self._incoming.write(self._encoder.alive())

    def _stay_alive(self) -> None:
        if self._over:
            return
        quiet_s = self._time() - self._incoming.last_write_at
        if quiet_s >= self._alive_idle_s:
            self._incoming.write(self._encoder.alive())
            quiet_s = 0.0
        self._commit_timer = self._wheel.after(self._alive_idle_s - quiet_s, self._stay_alive)
