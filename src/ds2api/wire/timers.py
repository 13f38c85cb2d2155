"""Deadlines by the thousand on one timer of the loop.

An exchange has half a dozen deadlines and nearly none of them ever passes. A timer of the loop for each would be
made and cancelled for nothing (about 1 µs each on uvloop, and a heap entry that outlives its cancellation on
asyncio). Here a deadline is an entry in the bucket of its due time, and the loop has one timer: for the next bucket.

* `touch()` only writes down the time. Nothing moves until the bucket comes due; then a touched deadline goes to a
  later bucket. So an idle limit costs one attribute a read, and one move per period.
* `hold()` and `restart()` are for a limit that comes and goes, such as that of an idle connection: it keeps its place
  meanwhile, so that each costs an attribute, too.
* `cancel()` takes it out at once, so nothing keeps a finished exchange alive.
* A deadline never fires early. It fires late by at most one bucket: 1/64 s, 1/4 s beyond four seconds, 4 s beyond a
  minute. That keeps the number of buckets below about 1,500 for an hour, however many deadlines there are.
* After the process stood still (SIGSTOP, a paused machine) what came meanwhile waits unread, and libuv runs its timers
  before it reads. So a turn of the wheel that is very late lets one turn of reading go first: a stream whose events
  came has its touch, and only one whose events did not come ends.

Everything runs in the thread of the loop. A callback is plain and short; if it raises, the loop's exception handler
is told and the other deadlines go on.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable
from types import TracebackType
from typing import Any

__all__ = ["Deadline", "Limit", "TimerWheel"]

_TICKS_PER_S = 64
# (delays beyond this many seconds, are rounded up to this many ticks)
_COARSE = ((60.0, 4 * _TICKS_PER_S), (4.0, _TICKS_PER_S // 4))

# Later than any turn that others may make us wait for (their work is bounded to milliseconds).
_STOOD_STILL_S = 0.5
_READ_FIRST_S = 0.002  # asyncio and libuv both look at what can be read before the timers of then


class Deadline:
    """One limit on time, made by `TimerWheel.after`. `seconds` counts from `touched_at`, which whoever knows the time
    may set in place of `touch`."""

    __slots__ = ("_bucket", "_callback", "_looked_at", "_time", "_wheel", "seconds", "touched_at")

    def __init__(self, seconds: float, callback: Callable[[], None], wheel: TimerWheel) -> None:
        self.seconds = seconds
        self._callback: Callable[[], None] | None = callback
        self._wheel = wheel
        self._time = wheel.time
        self.touched_at = wheel.time()
        self._bucket: dict[Deadline, None] | None = None
        self._looked_at = 0.0  # one bucket before its own comes due

    def touch(self) -> None:
        """A sign of life: the time counts from now. Without effect once fired or cancelled."""
        self.touched_at = self._time()

    def hold(self) -> None:
        """Let no time pass until `restart`."""
        self.touched_at = math.inf

    def restart(self, seconds: float) -> None:
        """Count `seconds` from now, whatever was before. Without effect once fired or cancelled."""
        now = self.touched_at = self._time()
        self.seconds = seconds
        if now + seconds < self._looked_at and self._callback is not None:
            if self._bucket is not None:
                self._bucket.pop(self, None)
            self._wheel.put(self, seconds)

    def cancel(self) -> None:
        """The callback will not be called. Twice is fine, and after it fired too."""
        self._callback = None
        if self._bucket is not None:
            self._bucket.pop(self, None)
            self._bucket = None

    @property
    def is_pending(self) -> bool:
        """It can still fire."""
        return self._callback is not None

    @property
    def due_at(self) -> float:
        """When it fires unless touched again, in the loop's time."""
        return self.touched_at + self.seconds


class Limit:
    """``with limit.of(seconds)``: the task that is in the block is cancelled when its time is over, and that comes out
    of the block as `TimeoutError`; no other cancellation does. As `asyncio.timeout`, on the wheel, and for one block
    after the other: whoever has many keeps one, and `close`s it in the end."""

    __slots__ = ("_cancelling", "_deadline", "_task", "_wheel", "is_expired")

    def __init__(self, wheel: TimerWheel) -> None:
        self._wheel = wheel
        self._deadline: Deadline | None = None  # held between two blocks
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self.is_expired = False

    def of(self, seconds: float) -> Limit:
        """For the next block."""
        self.is_expired = False
        if self._deadline is None:
            self._deadline = self._wheel.after(seconds, self._expire)
        else:
            self._deadline.restart(seconds)
        return self

    def close(self) -> None:
        """No block follows."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def __enter__(self) -> Limit:
        task = self._task = asyncio.current_task(self._wheel.loop)
        assert task is not None
        self._cancelling = task.cancelling()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if self._deadline is not None:
            self._deadline.touched_at = math.inf  # as `hold`, without the call
        elif task is not None and self.is_expired:
            is_ours = task.uncancel() <= self._cancelling
            if is_ours and kind is asyncio.CancelledError:
                raise TimeoutError from error

    def _expire(self) -> None:
        self._deadline = None
        if self._task is not None:
            self.is_expired = True
            self._task.cancel()


class TimerWheel:
    """All deadlines of one loop, or of one part of the program."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.time = loop.time
        self._buckets: dict[int, dict[Deadline, None]] = {}
        self._ticks: list[int] = []  # a heap: one entry for each bucket
        self._handle: asyncio.TimerHandle | None = None
        self._armed_tick = 0
        self._has_read = False  # after standing still

    def after(self, seconds: float, callback: Callable[[], None]) -> Deadline:
        """Call `callback` once `seconds` have passed without a `touch`."""
        deadline = Deadline(seconds, callback, self)
        self.put(deadline, seconds)
        return deadline

    def close(self) -> None:
        """Forget every deadline. None fires any more."""
        for bucket in self._buckets.values():
            for deadline in list(bucket):
                deadline.cancel()
        self._buckets.clear()
        self._ticks.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def put(self, deadline: Deadline, delay: float) -> None:
        """For deadlines: look at it again after `delay` seconds."""
        tick, step = math.ceil((self.time() + delay) * _TICKS_PER_S), 1
        for beyond, coarse in _COARSE:
            if delay > beyond:
                step = coarse
                tick = -(-tick // step) * step
                break
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = {}
            heapq.heappush(self._ticks, tick)
        bucket[deadline] = None
        deadline._bucket = bucket
        deadline._looked_at = (tick - step) / _TICKS_PER_S
        if self._handle is None or tick < self._armed_tick:
            self._arm()

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        # A bucket that was emptied by `cancel` is not worth waking up for.
        while self._ticks and not self._buckets[self._ticks[0]]:
            del self._buckets[heapq.heappop(self._ticks)]
        if self._ticks:
            self._armed_tick = self._ticks[0]
            self._handle = self.loop.call_at(self._armed_tick / _TICKS_PER_S, self._turn)

    def _turn(self) -> None:
        self._handle = None
        now = self.time()
        if not self._has_read and now - self._armed_tick / _TICKS_PER_S > _STOOD_STILL_S:
            self._has_read = True
            self._handle = self.loop.call_at(now + _READ_FIRST_S, self._turn)
            return
        self._has_read = False
        while self._ticks and self._ticks[0] <= now * _TICKS_PER_S:
            bucket = self._buckets.pop(heapq.heappop(self._ticks))
            while bucket:
                deadline, _ = bucket.popitem()
                deadline._bucket = None
                remaining = deadline.due_at - now
                if remaining > 0:
                    self.put(deadline, min(remaining, deadline.seconds))
                else:
                    self._fire(deadline)
        if self._handle is None:
            self._arm()

    def _fire(self, deadline: Deadline) -> None:
        callback, deadline._callback = deadline._callback, None
        if callback is None:
            return
        try:
            callback()
        except Exception as error:
            self.loop.call_exception_handler({"message": "the callback of a deadline failed", "exception": error})
