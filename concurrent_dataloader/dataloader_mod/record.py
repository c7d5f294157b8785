"""What is known of one iteration in the main process: the workers' counts, the caller's wait, and what failed."""

from __future__ import annotations

import time
from typing import Any

from concurrent_dataloader._base import torch_private
from concurrent_dataloader.dataloader_mod.batch_pool import BatchPool
from concurrent_dataloader.dataloader_mod.engine import EngineSettings
from concurrent_dataloader.dataloader_mod.failures import BatchWithFailures, FailureLog
from concurrent_dataloader.dataloader_mod.sizes import bytes_of
from concurrent_dataloader.dataloader_mod.stats import LoaderStats, StatsBoard


class IterationRecord:
    """Gathers what `DataLoader.stats` returns; outlives the iterator that it belongs to.

    Args:
        board: The workers' counters.
        failure_log: Takes in the samples that failed.
        batch_pool: Batches of one worker that may be out at once, at first.
    """

    def __init__(self, board: StatsBoard, failure_log: FailureLog, batch_pool: int) -> None:
        self.board = board
        self._failure_log = failure_log
        self._batch_pool = batch_pool
        self._batches = 0
        self._wait_s = 0.0

    @classmethod
    def of(cls, loader: Any, settings: EngineSettings) -> IterationRecord:
        """Returns an empty record for an iterator of the loader."""
        options, workers = settings.options, max(1, loader.num_workers)
        size = StatsBoard.size(workers)
        context = torch_private.multiprocessing_context(loader)
        cells: Any = context.RawArray("d", size) if loader.num_workers else [0.0] * size
        epoch_samples = _epoch_samples(loader)
        return cls(StatsBoard(workers, cells), FailureLog(options.max_error_rate, epoch_samples), settings.batch_pool)

    def begin_epoch(self, loader: Any) -> None:
        """To be called when workers begin an epoch, which need not be as long as the one before."""
        self._failure_log.begin_epoch(_epoch_samples(loader))

    def end(self) -> None:
        """To be called when the worker processes are gone."""
        self.board.rest()

    def add_batch(self, data: Any, waited_s: float) -> Any:
        """Takes in a batch that the caller has waited for, and returns what the caller gets.

        Raises:
            DatasetError: More samples have failed than ``max_error_rate`` allows.
        """
        self._batches += 1
        self._wait_s += waited_s
        if not isinstance(data, BatchWithFailures):
            return data
        self._failure_log.add(data.asked, data.failures)
        return data.batch

    def consider(self, pool: BatchPool, batch: Any) -> bool:
        """Lets the number of batches that are out adapt itself; returns whether it has changed.

        Args:
            pool: Decides on the number.
            batch: What the caller has got last.
        """
        before = pool.size
        if pool.is_due(self._batches):
            now_s, total = time.monotonic(), self.stats().total
            pool.decide(now_s, self._batches, self._wait_s, total, bytes_of(batch))
            self._batch_pool = pool.size
        return pool.size != before

    def stats(self) -> LoaderStats:
        """Returns what is known so far."""
        return LoaderStats(
            self.board.read(), self._batches, self._wait_s, tuple(self._failure_log.last), self._batch_pool
        )


def _epoch_samples(loader: Any) -> int | None:
    if loader.on_error == "raise":
        return None  # nobody asks
    if loader.batch_sampler is not None and loader.batch_size is None:
        return None  # the user's own batch sampler, whose length is in batches
    try:
        return len(loader.sampler)
    except (TypeError, NotImplementedError):
        return None
