"""Makes the samples of a batch, in the thread that reads: waits for its fetches, or does them, and processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from concurrent_dataloader._base.errors import DatasetError
from concurrent_dataloader._base.options import OnError
from concurrent_dataloader._base.request_events import listen
from concurrent_dataloader.dataloader_mod import stats
from concurrent_dataloader.dataloader_mod.direct import DirectRun
from concurrent_dataloader.dataloader_mod.dispatch import Dispatcher
from concurrent_dataloader.dataloader_mod.failures import Failures, add_note_once
from concurrent_dataloader.dataloader_mod.pending import Fetch, FetchCancelled, PendingBatch
from concurrent_dataloader.dataloader_mod.plan import FetchPlan
from concurrent_dataloader.dataloader_mod.pools import FetchPool
from concurrent_dataloader.dataloader_mod.stall import StallWatch
from concurrent_dataloader.dataloader_mod.stats import Counters


class BatchReader:
    """What one process does with the batches of an engine, one after another.

    Args:
        plan: Says how a sample is made.
        dispatcher: Gives fetches to this thread where that is the faster way.
        pool: Starts what the dispatcher decides on.
        counters: Where to count.
        stall_watch: Told of each sample.
        on_error: What a failing sample does.
        auto_collation: Whether a batch is a list of samples rather than one of them.
        while_waiting: Called every few seconds of waiting; may raise to end it.
    """

    def __init__(
        self,
        plan: FetchPlan,
        dispatcher: Dispatcher,
        pool: FetchPool,
        counters: Counters,
        stall_watch: StallWatch,
        *,
        on_error: OnError,
        auto_collation: bool,
        while_waiting: Callable[[], None],
    ) -> None:
        self._plan, self._dispatcher, self._pool = plan, dispatcher, pool
        self._counters, self._stall_watch, self._while_waiting = counters, stall_watch, while_waiting
        self._on_error, self._one_sample = on_error, plan.per_batch or not auto_collation
        self._direct_run: DirectRun | None = None
        self._process_s = 0.0  # of the batch at hand; so are the next two
        self._wait_s = 0.0
        self.failures = Failures(on_error)
        """The samples of the batch that was read last that failed, where ``on_error`` bears any."""

    def read(self, batch: PendingBatch) -> Any:
        """Returns the samples of a batch in sampler order, or the one sample; afterwards nothing of it is held.

        Raises:
            Exception: What the dataset raised for the first sample that failed, with a note that names its index.
            FetchCancelled: The engine was closed meanwhile.
        """
        self.failures = Failures(self._on_error)
        if batch.error is not None:
            raise batch.error
        self._direct_run = self._dispatcher.take_over(batch.fetches)
        listen(self._direct_run)
        try:
            samples = self._samples(batch)
        finally:
            listen(None)
            self._settle_accounts()
            self._stall_watch.rest()
        batch.fetches = []  # each was taken: nothing is left to give up
        return samples

    def _samples(self, batch: PendingBatch) -> Any:
        if self._on_error == "raise":
            return self._finish(batch.fetches[0]) if self._one_sample else list(map(self._finish, batch.fetches))
        if self._one_sample:
            return next(self._finish_or_replace(batch.fetches[0]))
        samples = [sample for fetch in batch.fetches for sample in self._finish_or_replace(fetch)]
        if batch.fetches and not samples:
            last = self.failures.samples[-1]
            raise DatasetError(
                f"on_error='skip' left nothing of a batch: all its {len(batch.fetches)} samples failed; the last was "
                f"sample {last.index!r}{last.name and f' ({last.name})'}: {last.error}"
            )
        return samples

    def _finish_or_replace(self, fetch: Fetch) -> Iterator[Any]:
        try:
            sample = self._finish(fetch)
        except FetchCancelled:
            raise
        except Exception as error:  # noqa: BLE001 - `on_error` bears every kind
            yield from self.failures.handle(fetch.index, self._plan.key_of(fetch.index), error)
        else:
            yield sample

    def _finish(self, fetch: Fetch) -> Any:
        """Waits for one fetch and makes the sample; a failure tells which sample it was."""
        try:
            began_s = time.monotonic()
            self._stall_watch.progress(began_s)
            try:
                value = self._fetched(fetch)
            finally:
                fetched_s = time.monotonic()
                self._wait_s += fetched_s - began_s
            if self._plan.process is None:
                return value
            try:
                return self._plan.process(fetch.index, value)
            finally:
                self._process_s += time.monotonic() - fetched_s
        except FetchCancelled:
            raise
        except StopIteration as error:
            # Out of __next__ it would end the epoch as if there were no more data.
            raise DatasetError(f"the dataset raised StopIteration for {self._plan.name_of(fetch.index)}") from error
        except Exception as error:  # the dataset's, of any kind, which goes on with a note
            add_note_once(error, f"while loading {self._plan.name_of(fetch.index)}")
            raise

    def _fetched(self, fetch: Fetch) -> Any:
        """Returns what a fetch gives: does it here where that is this thread's part, else waits for it."""
        run = self._direct_run
        if run is None or not fetch.is_direct or not run.take_next():
            return self._wait_for(fetch)
        value, go_on = run.carry_out(self._plan.fetch, fetch)
        if not go_on:
            self._pool.start(self._dispatcher.give_back(run))
        return value

    def _wait_for(self, fetch: Fetch) -> Any:
        try:
            return fetch.take(self._while_waiting)
        finally:
            if fetch.size_bytes:
                self._pool.start(self._dispatcher.taken(fetch))

    def _settle_accounts(self) -> None:
        self._counters.add(stats.WAIT_S, self._wait_s)
        self._counters.add(stats.PROCESS_S, self._process_s)
        self._wait_s = self._process_s = 0.0
        if self._direct_run is not None:
            self._pool.start(self._dispatcher.end_direct(self._direct_run))
            self._direct_run = None
