"""The fetch engine of one process: it takes requests in, and gives the data of each to torch's own fetcher."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from concurrent_dataloader._base.options import FetchOptions
from concurrent_dataloader.dataloader_mod import stats
from concurrent_dataloader.dataloader_mod.batch_pool import MOST_BATCHES
from concurrent_dataloader.dataloader_mod.batch_reader import BatchReader
from concurrent_dataloader.dataloader_mod.concurrency import ConcurrencyLimit
from concurrent_dataloader.dataloader_mod.direct import DirectReading
from concurrent_dataloader.dataloader_mod.dispatch import MAX_AUTO_BYTES, Dispatcher
from concurrent_dataloader.dataloader_mod.failures import BatchWithFailures
from concurrent_dataloader.dataloader_mod.fetch import make_pool
from concurrent_dataloader.dataloader_mod.hedging import HedgePolicy
from concurrent_dataloader.dataloader_mod.pending import PendingBatch
from concurrent_dataloader.dataloader_mod.plan import FetchPlan, plan_for
from concurrent_dataloader.dataloader_mod.random_state import RandomStateWatch
from concurrent_dataloader.dataloader_mod.run import Run
from concurrent_dataloader.dataloader_mod.stall import StallWatch
from concurrent_dataloader.dataloader_mod.stats import Counters
from concurrent_dataloader.dataloader_mod.watch import Watch
from concurrent_dataloader.dataloader_mod.window import BatchWindow


@dataclass(frozen=True)
class EngineSettings:
    """What an engine needs to know besides its dataset; picklable.

    Attributes:
        options: The user's options.
        batch_pool: Batches whose samples may be in flight at once.
        auto_collation: Whether a request is a batch of indices rather than one index.
        grows: Whether the iterator may have more batches in flight, up to `batch_pool.MOST_BATCHES`.
        in_order: Whether the batches of all workers are read in turn.
        many_readers: Whether several threads may read at once.
    """

    options: FetchOptions
    batch_pool: int
    auto_collation: bool
    grows: bool = False
    in_order: bool = True
    many_readers: bool = False

    @property
    def most_batches(self) -> int:
        """The most batches that are ever in flight."""
        return max(self.batch_pool, MOST_BATCHES) if self.grows else self.batch_pool


class FetchEngine:
    """Plan, pool and window of one dataset in one process.

    To torch's fetcher it looks like a dataset whose index is a `PendingBatch`: the fetcher asks for the samples of one,
    which `read` waits for and finishes in sampler order, and collates them.

    Args:
        dataset: The user's map-style dataset.
        settings: How to read it.
        counters: Where to count.
        on_random_draws: Called once, when a plain dataset was seen to draw random numbers in the pool.
        while_waiting: Called every few seconds while `read` waits; may raise to end the wait.

    Shutdown:
        `close` gives up every fetch and ends the pool as `ThreadPool.close` and `AsyncioPool.close` say. A thread that
        waits in `read` then gets `FetchCancelled` at once.
    """

    def __init__(
        self,
        dataset: Any,
        settings: EngineSettings,
        *,
        counters: Counters,
        on_random_draws: Callable[[], None],
        while_waiting: Callable[[], None] = lambda: None,
    ) -> None:
        options = settings.options
        plan = plan_for(dataset, options, auto_collation=settings.auto_collation)
        self._plan: FetchPlan = plan
        self._settings = settings
        self._counters = counters
        self._on_random_draws = on_random_draws
        limit = _limit_for(plan, settings, counters)
        self._random_watch = RandomStateWatch() if plan.process is None and limit.maximum > 1 else None
        self._dispatcher = Dispatcher(
            limit,
            HedgePolicy(enabled=options.hedging and plan.process is not None),
            DirectReading(possible=plan.is_local and not settings.many_readers),
            counters,
            max_bytes=MAX_AUTO_BYTES if limit.adaptive else None,
        )
        self._pool = make_pool(plan, self._dispatcher, limit.maximum)
        self._window = BatchWindow(plan, self._pool, settings.most_batches, auto_collation=settings.auto_collation)
        self._stall_watch = StallWatch(options.stall_timeout, self._describe_fetches)
        self._watch = Watch(self._look)
        self._reader = BatchReader(
            plan,
            self._dispatcher,
            self._pool,
            counters,
            self._stall_watch,
            on_error=options.on_error,
            auto_collation=settings.auto_collation,
            while_waiting=while_waiting,
        )
        self._asked = 0  # samples of the batch that was read last

    def request(self, request: Any) -> PendingBatch:
        """Takes up what the sampler asks for; its fetches start as soon as the window has room."""
        self._watch.start()
        return self._window.add(request)

    def begin_wait(self) -> None:
        """Tells that until the next `read` returns the reading thread draws no random numbers of its own.

        `read` does so itself; called before the first `request`, it lets no draw of the pool pass unnoticed.
        """
        if self._random_watch is not None:
            self._random_watch.begin()

    def release(self, batch: PendingBatch) -> None:
        """Gives up a batch that nobody will read; idempotent, and harmless after `read`."""
        self._window.release(batch)
        for fetch in batch.fetches:
            if fetch.size_bytes:
                self._pool.start(self._dispatcher.taken(fetch))

    def close(self) -> None:
        """Gives up all that is in flight and ends the pool; idempotent."""
        self._watch.close()
        self._window.close()
        self._pool.close()

    def close_aside(self) -> None:
        """Closes it in a thread of its own, as what owns an engine has to when it is collected.

        Garbage is collected in whichever thread comes by. That may be one of the engine's, amid what it does under a
        lock that `close` takes too: it would wait for itself, and no more garbage be collected in this process.
        """
        try:
            threading.Thread(target=self.close, name="fetch-close", daemon=True).start()
        except RuntimeError:  # at the end of the interpreter no thread is started any more
            self.close()

    def read(self, batch: PendingBatch) -> Any:
        """Returns what torch's fetcher collates: the batch's samples in sampler order, or the one sample.

        Raises:
            Exception: What the dataset raised for the first sample that failed, with a note that names its index.
            FetchCancelled: The engine was closed meanwhile.
        """
        self.begin_wait()
        try:
            self._window.start(batch)
            self._asked = len(batch.fetches)
            samples = self._reader.read(batch)
            self._counters.add(stats.SAMPLES, len(samples) if self._settings.auto_collation else 1)
            return samples
        finally:
            self.release(batch)
            if self._random_watch is not None and self._random_watch.end():
                self._random_watch = None
                self._on_random_draws()

    __getitem__ = __getitems__ = read  # torch's fetcher calls the one or the other

    def with_failures(self, batch: Any) -> Any:
        """Returns the batch that was read last, with its failed samples where ``on_error`` bears any."""
        if self._settings.options.on_error == "raise":
            return batch
        return BatchWithFailures(batch, self._asked, self._reader.failures.samples)

    def _look(self) -> float:
        """What the watch thread does: sends slow fetches again, and speaks up where nothing moves."""
        self._pool.start(self._dispatcher.rescue())
        hedges, seconds = self._dispatcher.due_hedges()
        self._pool.start(hedges)
        self._stall_watch.check()
        return seconds

    def _describe_fetches(self) -> Iterator[str]:
        now_s = time.monotonic()
        for run in self._dispatcher.in_flight():
            yield f"{self._plan.name_of(run.fetch.index)}: out for {now_s - run.started_s:.1f} s, {_attempts(run)}"


def _limit_for(plan: FetchPlan, settings: EngineSettings, counters: Counters) -> ConcurrencyLimit:
    two_phase = plan.process is not None
    return ConcurrencyLimit(
        settings.options.fetch_workers(two_phase=two_phase),
        adaptive=settings.options.is_adaptive(two_phase=two_phase),
        leads=counters.is_first,
        in_order=settings.in_order,
        progress=counters.progress,
    )


def _attempts(run: Run) -> str:
    return f"{run.retries + 1} attempts" if run.retries else "first attempt"
