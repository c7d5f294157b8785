"""What a loader's workers count, in memory that they share with the main process, and what a user sees of it."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from dataclasses import dataclass, fields
from typing import Any

from concurrent_dataloader.dataloader_mod.back_off import BORNE_PART

_BUSY = 0.8  # share of a worker's time above which waiting, or working, is what to mend


@dataclass(frozen=True)
class WorkerStats:
    """Counts of one worker process, or of the main process with ``num_workers=0``.

    Attributes:
        samples: Samples handed on.
        fetches: Fetches that ended well.
        fetched_bytes: Bytes of what was fetched, where it is bytes.
        failures: Fetches that failed in the end.
        retries: Requests that a store tried again.
        throttled: Those of them that the store had refused for their rate.
        hedges: Further attempts at slow fetches.
        hedges_won: Those of them that were first.
        wait_s: Seconds in which the worker had nothing to do but wait for fetches.
        process_s: Seconds in which it made samples of what was fetched.
        in_flight: Fetches in flight now.
        fetch_workers: Fetches that may be in flight now; under ``"auto"``, and after throttling, this moves.
        starved: Fetches that ended well when no other was left to start: more batches at once would have had some.
    """

    samples: int = 0
    fetches: int = 0
    fetched_bytes: int = 0
    failures: int = 0
    retries: int = 0
    throttled: int = 0
    hedges: int = 0
    hedges_won: int = 0
    wait_s: float = 0.0
    process_s: float = 0.0
    in_flight: int = 0
    fetch_workers: int = 0
    starved: int = 0


_NAMES = tuple(each.name for each in fields(WorkerStats))
CELLS = len(_NAMES)
"""Numbers that a worker's counters take."""
SHARED_CELLS = 3
"""Numbers that all workers share, after those of the last one."""
(
    SAMPLES,
    FETCHES,
    FETCHED_BYTES,
    FAILURES,
    RETRIES,
    THROTTLED,
    HEDGES,
    HEDGES_WON,
    WAIT_S,
    PROCESS_S,
    IN_FLIGHT,
    FETCH_WORKERS,
    STARVED,
) = range(CELLS)


@dataclass(frozen=True)
class FailedSample:
    """A sample that was left out or replaced, as ``on_error`` says.

    Attributes:
        index: The dataset's index.
        name: Its key, where the dataset has a ``describe``; else "".
        error: The exception's type and message.
    """

    index: Any
    name: str
    error: str


@dataclass(frozen=True)
class LoaderStats:
    """What `DataLoader.stats` returns: the counts of the latest iteration so far.

    Attributes:
        workers: One entry for each worker process; one in all with ``num_workers=0``.
        batches: Batches that the caller has got.
        wait_s: Seconds that the caller has waited for them, the start of the workers included.
        failed_samples: The last 1,000 samples that were left out or replaced, in the order of the sampler.
        batch_pool: Batches of one worker that may be out at once now; where ``batch_pool`` was not given, this moves.
    """

    workers: tuple[WorkerStats, ...] = ()
    batches: int = 0
    wait_s: float = 0.0
    failed_samples: tuple[FailedSample, ...] = ()
    batch_pool: int = 0

    @property
    def total(self) -> WorkerStats:
        """The sums over all workers."""
        return WorkerStats(*(sum(getattr(worker, name) for worker in self.workers) for name in _NAMES))

    @property
    def advice(self) -> str:
        """One sentence: where the time goes, and what to change."""
        total = self.total
        working_s = total.wait_s + total.process_s
        if not self.batches or not working_s:
            return "Nothing was measured: read a few batches of a two-phase dataset first."
        if total.throttled * BORNE_PART > total.fetches:
            return f"The store refused {total.throttled} requests for their rate: more in flight would gain nothing."
        if total.wait_s > _BUSY * working_s:
            return "The workers wait for the store: raise num_fetch_workers, and batch_pool with it."
        if total.process_s > _BUSY * working_s:
            return "The workers are busy decoding: raise num_workers, or make process() cheaper."
        return "Waiting and decoding are in balance."


class StatsBoard:
    """The counters of all workers of one iterator, and what they share: see `Counters`.

    Args:
        workers: Number of workers.
        cells: ``workers * CELLS + SHARED_CELLS`` numbers, shared with the worker processes where there are any.
    """

    def __init__(self, workers: int, cells: MutableSequence[float]) -> None:
        self._workers, self.cells = workers, cells

    @staticmethod
    def size(workers: int) -> int:
        """Returns how many cells a board takes."""
        return workers * CELLS + SHARED_CELLS

    def worker(self, number: int) -> Counters:
        """Returns the counters of one worker."""
        return Counters(self.cells, number * CELLS, len(self.cells) - SHARED_CELLS)

    def rest(self) -> None:
        """Notes that nothing is in flight, for workers that have ended."""
        for number in range(self._workers):
            self.worker(number).set(IN_FLIGHT, 0)

    def read(self) -> tuple[WorkerStats, ...]:
        """Returns what the workers have counted so far."""
        return tuple(
            _worker_stats(self.cells[number * CELLS : (number + 1) * CELLS]) for number in range(self._workers)
        )


class Counters:
    """One worker's cells of a board.

    Each cell is written by one thread, or under one lock, but for `throttled_s`, which any worker writes. Readers may
    see what is a moment old.
    """

    __slots__ = ("_cells", "_shared", "_start")

    def __init__(self, cells: MutableSequence[float], start: int = 0, shared: int = CELLS) -> None:
        self._cells, self._start, self._shared = cells, start, shared

    @classmethod
    def private(cls) -> Counters:
        """Returns counters that nobody else sees."""
        return cls([0.0] * (CELLS + SHARED_CELLS))

    def add(self, cell: int, amount: float = 1) -> None:
        """Adds to a count."""
        self._cells[self._start + cell] += amount

    def set(self, cell: int, value: float) -> None:
        """Notes a state."""
        self._cells[self._start + cell] = value

    @property
    def is_first(self) -> bool:
        """Whether these are the counters of the first worker."""
        return self._start == 0

    def progress(self) -> list[tuple[float, float]]:
        """Returns for each worker the fetches that ended well so far, and those of them that left no other to start."""
        cells = self._cells
        return list(zip(cells[FETCHES : self._shared : CELLS], cells[STARVED : self._shared : CELLS], strict=True))

    def lead(self, limit: int, throttled_s: float) -> None:
        """Tells the other workers the limit of fetches in flight, and which refusal was the last that it knows of."""
        self._cells[self._shared + 1] = limit  # before the other: a new limit with an old moment is only not followed
        self._cells[self._shared + 2] = throttled_s

    def led(self, throttled_s: float) -> int:
        """Returns the limit that the first worker has told; 0: none yet, or one that does not know of a refusal."""
        return int(self._cells[self._shared + 1]) if self._cells[self._shared + 2] >= throttled_s else 0

    @property
    def throttled_s(self) -> float:
        """When the store last refused too many requests of any worker for their rate: monotonic seconds, 0: never."""
        return self._cells[self._shared]

    @throttled_s.setter
    def throttled_s(self, now_s: float) -> None:
        self._cells[self._shared] = now_s


def _worker_stats(cells: Sequence[float]) -> WorkerStats:
    values: dict[str, Any] = dict(zip(_NAMES, cells, strict=True))
    return WorkerStats(**{name: value if name.endswith("_s") else int(value) for name, value in values.items()})
