"""Which fetch starts when: the one place that knows what is in flight, and the one lock around it."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from concurrent_dataloader.dataloader_mod import stats
from concurrent_dataloader.dataloader_mod.back_off import FORGIVEN_S
from concurrent_dataloader.dataloader_mod.concurrency import ConcurrencyLimit
from concurrent_dataloader.dataloader_mod.direct import STUCK_S, DirectReading, DirectRun
from concurrent_dataloader.dataloader_mod.hedging import LARGE_BYTES, HedgePolicy, SentAgain
from concurrent_dataloader.dataloader_mod.pending import Fetch, FetchCancelled
from concurrent_dataloader.dataloader_mod.recent import RecentFetches
from concurrent_dataloader.dataloader_mod.run import Run
from concurrent_dataloader.dataloader_mod.sizes import size_of
from concurrent_dataloader.dataloader_mod.stats import Counters

MAX_AUTO_BYTES = 256 << 20
"""Bytes that ``"auto"`` lets be in flight or wait for `process`, per process: a few of the largest objects. Of what
waits, bodies from `LARGE_BYTES` on count; smaller ones are bounded by the number of batches."""
_EXTRA_PART = 4  # further attempts out at once: this part of the limit, so that a store that hangs takes few threads
_LOOK_AGAIN_S = 0.5  # between two looks for slow fetches while nothing is known of the latencies
_SHORTEST_LOOK_S = 0.005  # a look takes some 10 us
_LOOK_PART = 1 / 8  # of the age at which a fetch is slow: looks come that much too late at the most


class Dispatcher:
    """Decides, and does no I/O: each method returns the runs that its caller is to start.

    A fetch is started when it is the oldest that waits and the limit has room. The further runs of a slow fetch, and
    what the first then still takes, count beside the limit: a fresh attempt never queues behind a slow one.

    Args:
        limit: Fetches in flight at once.
        hedging: When to send a fetch again.
        direct: When the reading thread fetches by itself.
        counters: Where to count.
        max_bytes: Bytes in flight, or in large bodies that nobody has taken yet, about, at which no more is started;
            None: no bound. One fetch is always in flight, so that an object above the bound is read all the same.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        limit: ConcurrencyLimit,
        hedging: HedgePolicy,
        direct: DirectReading,
        counters: Counters,
        *,
        max_bytes: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit, self._hedging, self._direct, self._counters = limit, hedging, direct, counters
        self._max_bytes, self._clock = max_bytes, clock
        self._lock = threading.Lock()
        self._backlog: deque[Fetch] = deque()
        self._out: dict[Fetch, Run] = {}  # what is in flight and not answered, in the order of the start
        self._again: dict[Fetch, SentAgain] = {}  # what was sent again, until its last run has ended
        self._extra = 0  # runs beyond one for each fetch in `_out`
        self._held_bytes = 0  # in large bodies that nobody has taken yet
        self._recent = RecentFetches()
        self._direct_run: DirectRun | None = None
        self._seen_throttled_s = 0.0  # the last refusal of any worker that this one has taken in
        self._noted: tuple[int, float] | None = None  # the limit and the refusal that the other workers know of
        self._note_limit()

    @property
    def running(self) -> int:
        """Runs that are out now."""
        return len(self._out) + self._extra

    def add(self, fetches: Iterable[Fetch]) -> list[Run]:
        """Takes up fetches behind those that wait already."""
        with self._lock:
            self._backlog.extend(fetches)
            return self._release(self._clock())

    def end(self, run: Run, value: Any = None, error: BaseException | None = None) -> list[Run]:
        """Takes in what a run came to, and settles its fetch unless another run has, or still may do better."""
        now_s, size_bytes = self._clock(), size_of(value)
        with self._lock:
            fetch = run.fetch
            again = self._again.get(fetch)
            others = self._other_runs(fetch)
            if fetch not in self._out or (error is not None and others):
                self._extra -= 1  # too late, or the other run may still succeed
                return self._release(now_s)
            del self._out[fetch]
            if error is None:
                self._note_success(run, size_bytes, now_s)
                if again is not None:
                    self._hedging.charge(again, size_bytes, self._recent.mean_size_bytes)
            elif not isinstance(error, FetchCancelled):
                self._counters.add(stats.FAILURES)
            if not fetch.settle(value, error):  # it was given up meanwhile, so nobody will take it
                self._let_go(fetch)
            return self._release(now_s)

    def take_over(self, fetches: list[Fetch]) -> DirectRun | None:
        """Gives the thread that is about to wait for a batch those of its fetches that it is to do itself.

        None: there are none, since a pool is the faster way, or has them all. The run ends with `end_direct`.
        """
        if not (self._direct.active or self._direct.is_due):
            return None
        with self._lock:
            self._direct.begin()
            mine = [fetch for fetch in fetches if fetch not in self._out and not fetch.is_claimed]
            for fetch in mine:
                self._backlog.remove(fetch)  # it is the first: batches are read in the order in which they were added
            self._direct_run = DirectRun(mine, self._direct, self._note_retry) if mine else None
            return self._direct_run

    def give_back(self, run: DirectRun) -> list[Run]:
        """Gives the pool what the reading thread has not begun, since it is the faster way after all."""
        with self._lock:
            return self._give_back(run, self._clock())

    def end_direct(self, run: DirectRun) -> list[Run]:
        """Takes in what a run of the reading thread came to."""
        with self._lock:
            self._direct_run = None
            self._counters.add(stats.FETCHES, run.ended)
            self._counters.add(stats.FETCHED_BYTES, run.size_bytes)
            self._counters.add(stats.FAILURES, run.failed)
            return [] if self._direct.active else self._release(self._clock())

    def rescue(self) -> list[Run]:
        """Gives the work back to the pool where the reading thread has been in one fetch, or at one, for long."""
        with self._lock:
            run, now_s = self._direct_run, self._clock()
            current = run.current if run is not None else None
            began_s = [current[1]] if current is not None else [each.started_s for each in self._out.values()]
            if not self._direct.active or not began_s or now_s - min(began_s) < STUCK_S:
                return []
            return self._give_back(run, now_s)

    def _note_retry(self, throttled: bool) -> None:
        with self._lock:
            self._counters.add(stats.RETRIES)
            if throttled:
                self._counters.add(stats.THROTTLED)
                now_s = self._clock()
                if self._limit.is_throttling(now_s):
                    self._counters.throttled_s = now_s
                    self._heed_refusals()

    def taken(self, fetch: Fetch) -> list[Run]:
        """Takes in that the answer of a fetch has been taken, or never will be; idempotent."""
        if not fetch.size_bytes:
            return []
        with self._lock:
            self._let_go(fetch)
            return self._release(self._clock())

    def due_hedges(self) -> tuple[list[Run], float]:
        """Returns further runs for the fetches that are slow, and the seconds after which to ask again."""
        now_s = self._clock()
        with self._lock:
            if self._direct.active:
                return [], STUCK_S
            self._heed_refusals()
            delay_s = None if self._limit.is_throttled(now_s) else self._hedging.delay_s(self._recent)
            if delay_s is None:
                return [], _LOOK_AGAIN_S
            slow = itertools.takewhile(lambda run: now_s - run.started_s >= delay_s, self._out.values())
            due = [self._hedge(run, now_s) for run in slow if self._may_hedge(run, now_s - delay_s)]
            self._counters.add(stats.HEDGES, len(due))
            return due, min(_LOOK_AGAIN_S, max(_SHORTEST_LOOK_S, delay_s * _LOOK_PART))

    def in_flight(self) -> list[Run]:
        """Returns the first runs of what is in flight, oldest first: for messages."""
        with self._lock:
            current = self._direct_run.current if self._direct_run is not None else None
            return [*([Run(self._note_retry, *current)] if current else []), *self._out.values()]

    def close(self) -> None:
        """Starts nothing more; idempotent."""
        with self._lock:
            self._backlog.clear()

    def _other_runs(self, fetch: Fetch) -> int:
        """Takes in that a run has ended; returns how many of the same fetch are out."""
        again = self._again.get(fetch)
        if again is None:
            return 0
        again.live -= 1
        if not again.live:
            del self._again[fetch]
        return again.live

    def _may_hedge(self, first: Run, slow_since_s: float) -> bool:
        """Whether a slow fetch may be sent again; if so, that is paid for."""
        again = self._again.get(first.fetch)
        may_pause = first.retries and self._limit.is_lowered  # as the store has told it
        if may_pause or (again is not None and not again.may_follow(slow_since_s)):
            return False
        most = max(2, self._limit.value // _EXTRA_PART)
        return not first.fetch.is_claimed and self._extra < most and self._hedging.spend()

    def _hedge(self, first: Run, now_s: float) -> Run:
        self._again.setdefault(first.fetch, SentAgain(first.started_s)).add(now_s)
        self._extra += 1
        return Run(self._note_retry, first.fetch, now_s, is_hedge=True)

    def _give_back(self, run: DirectRun | None, now_s: float) -> list[Run]:
        self._direct.stop()
        if run is not None:
            self._backlog.extendleft(run.give_up())
        return self._release(now_s)

    def _release(self, now_s: float) -> list[Run]:
        self._heed_refusals()
        started: list[Run] = []
        backlog, room = self._backlog, self._room()
        while backlog and (room > 0 or backlog[0].is_claimed):
            fetch = backlog.popleft()
            if not fetch.is_claimed:  # else it was given up before it began
                run = self._out[fetch] = Run(self._note_retry, fetch, now_s)
                started.append(run)
                room -= 1
        self._counters.set(stats.IN_FLIGHT, len(self._out))
        return started

    def _room(self) -> int:
        """Returns how many fetches may start now."""
        if self._direct.active:
            return 0
        out = len(self._out)
        room = self._limit.value - out
        if room > 0 and self._max_bytes is not None and (mean_bytes := self._recent.mean_size_bytes):
            room = min(room, int((self._max_bytes - self._held_bytes) / mean_bytes) - out)
        return room if out else max(1, room)

    def _note_success(self, run: Run, size_bytes: int, now_s: float) -> None:
        self._counters.add(stats.FETCHES)
        self._counters.add(stats.FETCHED_BYTES, size_bytes)
        if run.is_hedge:
            self._counters.add(stats.HEDGES_WON)
        self._hedging.earn()
        latency_s = now_s - run.started_s
        if not run.retries:  # else the pauses between attempts are in it
            self._recent.add(latency_s, size_bytes)
        if size_bytes >= LARGE_BYTES:
            run.fetch.size_bytes = size_bytes
            self._held_bytes += size_bytes
        self._direct.pool_fetched(self._recent.median_s)
        if not self._backlog:
            self._counters.add(stats.STARVED)
        self._limit.completed(now_s, latency_s)
        self._note_limit()

    def _note_limit(self) -> None:
        """Shares the limit, or follows the worker that leads unless it has not yet heard of the last refusal."""
        if not self._limit.leads and (limit := self._counters.led(self._seen_throttled_s)):
            self._limit.follow(limit)
        known = self._limit.value, self._seen_throttled_s
        if known != self._noted:
            self._noted = known
            self._counters.set(stats.FETCH_WORKERS, self._limit.value)
            if self._limit.leads:
                self._counters.lead(*known)

    def _let_go(self, fetch: Fetch) -> None:
        self._held_bytes -= fetch.size_bytes
        fetch.size_bytes = 0

    def _heed_refusals(self) -> None:
        """Takes in the last refusal of any worker: another one's is a sign that this one's would be next."""
        if self._counters.throttled_s == self._seen_throttled_s:
            return
        self._seen_throttled_s, now_s = self._counters.throttled_s, self._clock()
        if now_s - self._seen_throttled_s < FORGIVEN_S:  # else this worker had nothing to do for that long
            self._limit.throttled(now_s, self._recent.median_s)
            self._note_limit()
