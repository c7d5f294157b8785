"""The two iterators: torch's own, with our engine between their index source and their dataset."""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from concurrent_dataloader._base import torch_iterators, torch_private
from concurrent_dataloader.dataloader_mod.batch_pool import BatchPool, room_bytes
from concurrent_dataloader.dataloader_mod.engine import EngineSettings, FetchEngine
from concurrent_dataloader.dataloader_mod.look_ahead import LookAhead
from concurrent_dataloader.dataloader_mod.pending import PendingBatch
from concurrent_dataloader.dataloader_mod.plan import plan_for
from concurrent_dataloader.dataloader_mod.post_office import PostOffice
from concurrent_dataloader.dataloader_mod.random_state import warn_of_shared_generators
from concurrent_dataloader.dataloader_mod.record import IterationRecord
from concurrent_dataloader.dataloader_mod.worker import WorkerSetup, run_worker

MOST_NAMED = 20
"""Samples that a message about a dead worker names."""


class MultiProcessEngineIter(torch_iterators.MultiProcessIter):
    """torch's multi-process iterator whose workers run our engine.

    Sampler, priming, reordering, pinning, time-out, worker death and shutdown are torch's.

    Args:
        loader: The loader, with torch's attributes.
        settings: How each worker reads; a ``batch_pool`` above ``prefetch_factor`` has that many batches sent.
        record: Takes in what is counted.
    """

    def __init__(self, loader: Any, settings: EngineSettings, record: IterationRecord) -> None:
        random_draws: Any = torch_private.multiprocessing_context(loader).RawValue("b", 0)
        self._random_draws = random_draws
        self._warned = False
        self._record = record
        self._batch_pool: BatchPool | None = None
        if settings.grows:
            self._batch_pool = BatchPool(settings.batch_pool, loader.num_workers, room_bytes())
        self._plan = plan_for(loader.dataset, settings.options, auto_collation=settings.auto_collation)
        office = PostOffice()
        self._close_office = weakref.finalize(self, office.close)

        def next_target() -> Callable[..., None]:
            setup = WorkerSetup(settings, random_draws, record.board, office.open_box())
            return functools.partial(run_worker, setup)

        try:
            super().__init__(loader, next_target, batches_per_worker=settings.batch_pool)
        finally:
            office.close_box()

    def begin_epoch(self, loader: Any) -> None:
        """Counts the failures of persistent workers' next epoch anew."""
        self._record.begin_epoch(loader)

    def after_shutdown(self) -> None:
        """Notes that nothing is in flight any more, which a worker that was killed could not."""
        self._record.end()
        self._close_office()

    def receive(self, data: Any, waited_s: float) -> Any:
        """Notes the caller's wait and the samples that failed, and has more batches sent where they are too few."""
        batch = self._record.add_batch(data, waited_s)
        if self._batch_pool is not None and self._record.consider(self._batch_pool, batch):
            self.keep_out(self._batch_pool.size)
        return batch

    def describe_requests(self, requests: list[Any]) -> str:
        """Names the samples by index, and by key where the dataset knows one."""
        indices = [index for request in requests for index in (request if isinstance(request, list) else [request])]
        shown = [
            f"{index!r} ({key})" if (key := self._plan.key_of(index)) else repr(index) for index in indices[:MOST_NAMED]
        ]
        rest = f" and {len(indices) - MOST_NAMED} more" if len(indices) > MOST_NAMED else ""
        return f"samples {', '.join(shown)}{rest}"

    def after_batch(self) -> None:
        """Passes on what a worker has noticed: the user sees the main process's warnings, once, not each worker's."""
        if self._random_draws.value and not self._warned:
            self._warned = True
            warn_of_shared_generators()


class SingleProcessEngineIter(torch_iterators.SingleProcessIter):
    """torch's in-process iterator with the engine in the caller's process, ``batch_pool`` batches ahead of the caller.

    Args:
        loader: The loader, with torch's attributes.
        settings: How to read.
        record: Takes in what is counted.

    Shutdown:
        The engine is closed at the end of the epoch, or when the iterator is collected (``break`` and ``del``).
    """

    def __init__(self, loader: Any, settings: EngineSettings, record: IterationRecord) -> None:
        self._settings, self._record = settings, record
        self._start_engine(loader.dataset)
        self._requested: deque[PendingBatch] = deque()
        self._sampler_error: Exception | None = None
        super().__init__(loader, self._engine)
        sampler = loader.batch_sampler if settings.auto_collation else loader.sampler
        self._sampler = LookAhead(sampler, self.sample_indices, settings.batch_pool)

    def _start_engine(self, dataset: Any) -> None:
        self._process = os.getpid()
        counters = self._record.board.worker(0)
        self._engine = FetchEngine(
            dataset, self._settings, counters=counters, on_random_draws=warn_of_shared_generators
        )
        self._close = weakref.finalize(self, _close_in, self._process, threading.get_ident(), self._engine)

    def _go_on_after_fork(self) -> None:
        """Starts an engine in the process that the caller has forked: no thread came with it, so no fetch would end."""
        self._close.detach()
        self._start_engine(self._dataset)
        self.read_from(self._engine)
        self._requested = deque(self._engine.request(batch.request) for batch in self._requested)

    def receive(self, data: Any, waited_s: float) -> Any:
        """Notes the caller's wait and the samples that failed."""
        return self._record.add_batch(self._engine.with_failures(data), waited_s)

    def next_request(self) -> PendingBatch:
        """Returns the oldest batch, after asking for the ones that are to be in flight behind it."""
        if self._process != os.getpid():
            self._go_on_after_fork()
        drawn: list[Any] = []
        while len(self._requested) + len(drawn) <= self._sampler.ahead and self._sampler_error is None:
            try:
                drawn.append(self._sampler.draw())
            except Exception as error:  # noqa: BLE001 - the sampler's end or failure has its turn after what it gave
                self._sampler_error = error
        self._engine.begin_wait()  # only now: the sampler may draw from the generators, too
        self._requested.extend(map(self._engine.request, drawn))
        if self._requested:
            return self._requested.popleft()
        ending, self._sampler_error = self._sampler_error, None
        assert ending is not None
        if isinstance(ending, StopIteration):
            self._close()
        raise ending


def _close_in(process: int, reader: int, engine: FetchEngine) -> None:
    """Closes an engine, but not its copy in a forked process, whose locks may be held by threads that are not there.

    The thread that reads closes it itself, and so goes on only when that is done.
    """
    if os.getpid() != process:
        return
    if threading.get_ident() == reader:
        engine.close()
    else:
        engine.close_aside()
