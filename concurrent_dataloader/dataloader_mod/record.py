"""What is known of one iteration in the main process: the workers' counts, the caller's wait, and what failed."""

from __future__ import annotations

from typing import Any

from concurrent_dataloader._base import torch_private
from concurrent_dataloader._base.options import FetchOptions
from concurrent_dataloader.dataloader_mod.failures import BatchWithFailures, FailureLog
from concurrent_dataloader.dataloader_mod.stats import LoaderStats, StatsBoard


class IterationRecord:
    """Gathers what `DataLoader.stats` returns; outlives the iterator that it belongs to.

    Args:
        board: The workers' counters.
        failure_log: Takes in the samples that failed.
    """

    def __init__(self, board: StatsBoard, failure_log: FailureLog) -> None:
        self.board = board
        self._failure_log = failure_log
        self._batches = 0
        self._wait_s = 0.0

    @classmethod
    def of(cls, loader: Any, options: FetchOptions) -> IterationRecord:
        """Returns an empty record for an iterator of the loader."""
        workers = max(1, loader.num_workers)
        size = StatsBoard.size(workers)
        context = torch_private.multiprocessing_context(loader)
        cells: Any = context.RawArray("d", size) if loader.num_workers else [0.0] * size
        epoch_samples = _epoch_samples(loader) if options.on_error != "raise" else None
        return cls(StatsBoard(workers, cells), FailureLog(options.max_error_rate, epoch_samples))

    def begin_epoch(self) -> None:
        """To be called when persistent workers begin another epoch."""
        self._failure_log.begin_epoch()

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

    def stats(self) -> LoaderStats:
        """Returns what is known so far."""
        return LoaderStats(self.board.read(), self._batches, self._wait_s, tuple(self._failure_log.last))


def _epoch_samples(loader: Any) -> int | None:
    if loader.batch_sampler is not None and loader.batch_size is None:
        return None  # the user's own batch sampler, whose length is in batches
    try:
        return len(loader.sampler)
    except (TypeError, NotImplementedError):
        return None
