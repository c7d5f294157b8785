"""The batch window: the batches whose samples are in flight, oldest first, with no barrier between them."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from concurrent_dataloader.dataloader_mod.pending import Fetch, FetchCancelled, PendingBatch
from concurrent_dataloader.dataloader_mod.plan import FetchPlan
from concurrent_dataloader.dataloader_mod.pools import FetchPool


class BatchWindow:
    """Holds the batches that were asked for and starts the fetches of the oldest ``size`` of them.

    A batch takes its place when it is added (or as soon as one is free) and gives it back when it is released. `add` is
    called by whoever receives requests, `release` by the thread that puts batches together: in a worker process these
    are two threads, hence the lock.

    Args:
        plan: Says how a request is split in fetches.
        pool: Runs the fetches.
        size: Batches in flight at once.
        auto_collation: Whether a request is a batch of indices rather than one index.
    """

    def __init__(self, plan: FetchPlan, pool: FetchPool, size: int, *, auto_collation: bool) -> None:
        self._plan, self._pool, self._size, self._auto_collation = plan, pool, size, auto_collation
        self._lock = threading.Lock()
        self._waiting: deque[PendingBatch] = deque()
        self._in_flight: dict[int, PendingBatch] = {}  # by identity: two batches may ask for the same indices
        self._closed = False

    def add(self, request: Any) -> PendingBatch:
        """Takes up a request; its fetches start now, or when an older batch has been released."""
        batch = PendingBatch(request)
        with self._lock:
            self._waiting.append(batch)
            self._start_waiting()
        return batch

    def start(self, batch: PendingBatch) -> None:
        """Starts the fetches of a batch that is being waited for, whether or not there is room; idempotent.

        Batches are read in the order in which they were added, so there is room. But a Ctrl-C at the wrong moment can
        lose a batch between `add` and `release`, and its place with it: without this the next one would wait for ever.
        """
        with self._lock:
            if batch in self._waiting:
                self._waiting.remove(batch)
                self._start(batch)

    def release(self, batch: PendingBatch) -> None:
        """Gives the place of a batch to the next one and gives up what it has still out; idempotent."""
        with self._lock:
            self._in_flight.pop(id(batch), None)
            self._start_waiting()
        _cancel(batch)

    def close(self) -> None:
        """Gives up every fetch, so that nobody waits for one any more; idempotent. Batches added later fail at once."""
        with self._lock:
            self._closed = True
            self._start_waiting()
            batches = list(self._in_flight.values())
            self._in_flight.clear()
        for batch in batches:
            _cancel(batch)

    def _start_waiting(self) -> None:
        while self._waiting and (self._closed or len(self._in_flight) < self._size):
            self._start(self._waiting.popleft())

    def _start(self, batch: PendingBatch) -> None:
        self._in_flight[id(batch)] = batch
        try:
            batch.fetches = self._split(batch.request)
        except BaseException as error:  # noqa: BLE001 - a bad request belongs to the thread that asks for its samples
            batch.error = error
            return
        if self._closed:
            _cancel(batch)
        else:
            self._pool.submit(batch.fetches)

    def _split(self, request: Any) -> list[Fetch]:
        if self._plan.per_batch or not self._auto_collation:
            return [Fetch(request)]
        return [Fetch(index) for index in request]


def _cancel(batch: PendingBatch) -> None:
    for fetch in batch.fetches:
        if not fetch.is_claimed:
            fetch.settle(error=FetchCancelled("the loader was shut down"))
