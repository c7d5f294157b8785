"""When the thread that waits for fetches does them itself, as torch's loader does."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from concurrent_dataloader.dataloader_mod.pending import Fetch
from concurrent_dataloader.dataloader_mod.sizes import size_of

FIRST_TRY = 64
"""Fetches of the pool before direct reading is tried: a batch of the usual size, which the pool has begun anyway."""
STUCK_S = 0.1
"""A direct fetch that is out for so long is no fast one."""

_WORTH_A_TRY_S = 0.01  # median of the pool's fetches; on a busy machine its threads wait that long for their turn
_FAST_S = 150e-6  # about what a hand-over to another thread and back costs when both want the interpreter
_WEIGHT = 1 / 64  # of one fetch: 10 ms in one of them, or 400 us in each of thirty, end it
_LONGEST_PAUSE = 1 << 16  # fetches between two tries


class DirectReading:
    """Decides whether fetches are so fast that a pool is a detour.

    A file in the page cache is read in some 10 us, and an object in the loader's own cache too; handing such a fetch to
    a pool thread costs more than that. A folder may as well lie on a network, though, and an object be missing in the
    cache. So after `FIRST_TRY` fast fetches of the pool the reading thread does them itself, as long as they take less
    than 150 us on average. Where they do not, the pool takes over again, and the next try is twice as many fetches
    away.

    It begins with `begin`, between two batches, and never while the reading thread waits for one: what the pool does
    not start then would be started by nobody.

    Not thread-safe: whoever owns it holds a lock, except for reading `is_due` and `active`.

    Args:
        possible: Whether the fetch may run in the reading thread at all: nobody can send it again there (hedging).

    Attributes:
        is_due: Whether the reading thread is to begin.
        active: Whether the reading thread is to fetch.
    """

    def __init__(self, *, possible: bool) -> None:
        self._possible = possible
        self.is_due = self.active = False
        self._fetches = 0  # since the last change of `active`
        self._pause = FIRST_TRY
        self._mean_s = 0.0

    def pool_fetched(self, median_s: float) -> None:
        """Takes in a fetch of the pool that ended well, and the median latency in seconds of the recent ones."""
        self._fetches += 1
        if self._possible and not self.active and self._fetches >= self._pause:
            self.is_due = median_s < _WORTH_A_TRY_S

    def begin(self) -> None:
        """Gives the work to the reading thread; does nothing where that has it already."""
        if not self.active:
            self.active, self.is_due, self._fetches, self._mean_s = True, False, 0, 0.0

    def fetched(self, latency_s: float) -> bool:
        """Takes in the seconds that a fetch took in the reading thread; returns whether it is to go on."""
        self._fetches += 1
        self._mean_s += _WEIGHT * (latency_s - self._mean_s)
        return self._mean_s <= _FAST_S

    def stop(self) -> None:
        """Gives the work back to the pool; does nothing where that has it already."""
        if self.active:
            self._pause = FIRST_TRY if self._fetches > self._pause else min(2 * self._pause, _LONGEST_PAUSE)
            self.active, self._fetches = False, 0


class DirectRun:
    """The fetches of one batch that the reading thread does itself, in order.

    Each is taken off a queue by the reading thread, or by who gives the work back, and so is never done by both.

    It is also what a store reports to (`request_events.RequestListener`).

    Args:
        fetches: What nobody has started; marked as direct.
        policy: Hears how long they take.
        on_retry: Called with whether the store throttles when it tries a request again.

    Attributes:
        ended: How many of them ended well.
        failed: How many failed.
        size_bytes: Size of what was fetched, where it has one.
        current: What is being fetched, and since when in monotonic seconds; None while nothing is.
    """

    __slots__ = ("_on_retry", "_policy", "_waiting", "current", "ended", "failed", "size_bytes")

    def __init__(self, fetches: list[Fetch], policy: DirectReading, on_retry: Callable[[bool], None]) -> None:
        for fetch in fetches:
            fetch.is_direct = True
        self._waiting, self._policy, self._on_retry = deque(fetches), policy, on_retry
        self.ended = self.failed = self.size_bytes = 0
        self.current: tuple[Fetch, float] | None = None

    def take_next(self) -> bool:
        """Takes the next fetch for the reading thread; returns False if it has just been given up."""
        try:
            self._waiting.popleft()
        except IndexError:
            return False
        return True

    def carry_out(self, call: Callable[[Any], Any], fetch: Fetch) -> tuple[Any, bool]:
        """Does a fetch that was taken; returns its value, and whether the ones after it are to be done here too."""
        began_s = time.monotonic()
        self.current = fetch, began_s
        try:
            value = call(fetch.index)
        except BaseException:  # of any kind: it is counted, and goes on
            self.failed += 1
            raise
        finally:
            self.current = None
        self.ended += 1
        self.size_bytes += size_of(value)
        return value, self._policy.fetched(time.monotonic() - began_s)

    def give_up(self) -> list[Fetch]:
        """Returns what the reading thread has not taken, the last first; it is no longer direct."""
        rest = []
        with suppress(IndexError):
            while True:
                rest.append(self._waiting.pop())
        for fetch in rest:
            fetch.is_direct = False
        return rest

    def retrying(self, *, throttled: bool) -> None:
        """Hears that the store tries again."""
        self._on_retry(throttled)
