"""The fetch engine of one process: it takes requests in, and gives the data of each to torch's own fetcher."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from concurrent_dataloader._base.errors import DatasetError
from concurrent_dataloader._base.options import FetchOptions
from concurrent_dataloader.dataloader_mod.fetch import make_pool
from concurrent_dataloader.dataloader_mod.pending import Fetch, FetchCancelled, PendingBatch
from concurrent_dataloader.dataloader_mod.plan import FetchPlan, plan_for
from concurrent_dataloader.dataloader_mod.random_state import RandomStateWatch
from concurrent_dataloader.dataloader_mod.window import BatchWindow

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineSettings:
    """What an engine needs to know besides its dataset; picklable.

    Attributes:
        options: The user's options.
        fetch_workers: Fetches in flight at once.
        batch_pool: Batches whose samples may be in flight at once.
        auto_collation: Whether a request is a batch of indices rather than one index.
    """

    options: FetchOptions
    fetch_workers: int
    batch_pool: int
    auto_collation: bool


class FetchEngine:
    """Plan, pool and window of one dataset in one process.

    To torch's fetcher it looks like a dataset whose index is a `PendingBatch`: the fetcher asks for the samples of one,
    which `read` waits for and finishes in sampler order, and collates them.

    Args:
        dataset: The user's map-style dataset.
        settings: How to read it.
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
        on_random_draws: Callable[[], None],
        while_waiting: Callable[[], None] = lambda: None,
    ) -> None:
        plan = plan_for(dataset, settings.options, auto_collation=settings.auto_collation)
        self._plan: FetchPlan = plan
        self._settings = settings
        self._while_waiting = while_waiting
        self._on_random_draws = on_random_draws
        shares_generators = plan.process is None and settings.fetch_workers > 1
        self._watch = RandomStateWatch() if shares_generators else None
        self._pool = make_pool(plan, settings.fetch_workers)
        self._window = BatchWindow(plan, self._pool, settings.batch_pool, auto_collation=settings.auto_collation)
        self._skipped = 0

    def request(self, request: Any) -> PendingBatch:
        """Takes up what the sampler asks for; its fetches start as soon as the window has room."""
        return self._window.add(request)

    def begin_wait(self) -> None:
        """Tells that until the next `read` returns the reading thread draws no random numbers of its own.

        `read` does so itself; called before the first `request`, it lets no draw of the pool pass unnoticed.
        """
        if self._watch is not None:
            self._watch.begin()

    def release(self, batch: PendingBatch) -> None:
        """Gives up a batch that nobody will read; idempotent, and harmless after `read`."""
        self._window.release(batch)

    def close(self) -> None:
        """Gives up all that is in flight and ends the pool; idempotent."""
        self._window.close()
        self._pool.close()

    def read(self, batch: PendingBatch) -> Any:
        """Returns what torch's fetcher collates: the batch's samples in sampler order, or the one sample.

        Raises:
            Exception: What the dataset raised for the first sample that failed, with a note that names its index.
            FetchCancelled: The engine was closed meanwhile.
        """
        self.begin_wait()
        try:
            return self._read(batch)
        finally:
            self._window.release(batch)
            if self._watch is not None and self._watch.end():
                self._watch = None
                self._on_random_draws()

    __getitem__ = __getitems__ = read  # torch's fetcher calls the one or the other

    def _read(self, batch: PendingBatch) -> Any:
        if batch.error is not None:
            raise batch.error
        if self._plan.per_batch or not self._settings.auto_collation:
            return self._finish(batch.fetches[0])
        if self._settings.options.on_error == "raise":
            return [self._finish(fetch) for fetch in batch.fetches]
        samples = [sample for fetch in batch.fetches for sample in self._finish_or_replace(fetch)]
        if batch.fetches and not samples:
            raise DatasetError(f"on_error='skip' left nothing of a batch: all its {len(batch.fetches)} samples failed")
        return samples

    def _finish(self, fetch: Fetch) -> Any:
        """Waits for one fetch and makes the sample; a failure tells which sample it was."""
        try:
            value = fetch.take(self._while_waiting)
            return value if self._plan.process is None else self._plan.process(fetch.index, value)
        except FetchCancelled:
            raise
        except StopIteration as error:
            # Out of __next__ it would end the epoch as if there were no more data.
            raise DatasetError(f"the dataset raised StopIteration for {self._name(fetch)}") from error
        except Exception as error:
            _add_note_once(error, f"while loading {self._name(fetch)}")
            raise

    def _finish_or_replace(self, fetch: Fetch) -> list[Any]:
        on_error = self._settings.options.on_error
        try:
            return [self._finish(fetch)]
        except FetchCancelled:
            raise
        except Exception as error:  # noqa: BLE001 - the user's policy says what any failing sample does
            if callable(on_error):
                return [on_error(fetch.index, error)]
            self._skipped += 1
            logger.warning("skipped %s (%d so far in this process): %r", self._name(fetch), self._skipped, error)
            return []

    def _name(self, fetch: Fetch) -> str:
        if self._plan.per_batch:
            return f"the batch of samples {fetch.index!r}"
        key = ""
        if self._plan.describe is not None:
            try:
                key = self._plan.describe(fetch.index)
            except Exception:  # an index that fails may well have no name either
                logger.debug("the dataset cannot describe sample %r", fetch.index, exc_info=True)
        return f"sample {fetch.index!r}" + (f" ({key})" if key else "")


def _add_note_once(error: Exception, note: str) -> None:
    """A dataset may raise the same exception object again and again: it should not collect notes."""
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)
