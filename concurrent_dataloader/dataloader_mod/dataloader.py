"""`DataLoader`: torch's, with the waiting for storage overlapped."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar

import torch
from torch.utils.data import Dataset, Sampler

from concurrent_dataloader._base import torch_private
from concurrent_dataloader._base.errors import OptionError
from concurrent_dataloader._base.options import (
    DEFAULT_BATCH_POOL,
    DEFAULT_MAX_ERROR_RATE,
    DEFAULT_STALL_TIMEOUT_S,
    FetchImpl,
    FetchOptions,
    OnError,
)
from concurrent_dataloader._base.two_phase import phases_of
from concurrent_dataloader.dataloader_mod.engine import EngineSettings
from concurrent_dataloader.dataloader_mod.iterators import MultiProcessEngineIter, SingleProcessEngineIter
from concurrent_dataloader.dataloader_mod.look_ahead import draws_nothing_later
from concurrent_dataloader.dataloader_mod.plan import needs_engine
from concurrent_dataloader.dataloader_mod.record import IterationRecord
from concurrent_dataloader.dataloader_mod.stats import LoaderStats

T_co = TypeVar("T_co", covariant=True)


class DataLoader(torch_private.LoaderBase[T_co]):
    """A ``torch.utils.data.DataLoader`` that fetches many samples of many batches at once in each process.

    It gives exactly torch's data: the same samples in the same order and batches, the same exceptions and, for
    two-phase datasets, the same random augmentations, bit by bit. Every argument of torch's keeps its meaning and its
    position. A *two-phase* dataset (`S3Dataset`, `ScratchDataset`, or any with ``fetch(index)`` and
    ``process(index, raw)``) has many ``fetch`` calls in flight, while ``process`` runs in the worker's main thread in
    sampler order. A plain dataset is read as torch reads it unless ``num_fetch_workers`` asks for more.

    Args:
        dataset: Any torch dataset. Iterable datasets take torch's own path.
        num_fetch_workers: Samples fetched at once in each worker process, or in the main process with
            ``num_workers=0``. ``None`` (default): ``"auto"`` for two-phase datasets, 1 for all others. ``"auto"``
            fetches a first batch of up to 64 samples at once, goes on with 8, raises the number until fetches queue (to
            256 at most, and about 256 MiB of what tells its size), and lowers it when the store refuses requests for
            their rate; `stats` shows it. A number that is given is lowered for such refusals only.
        fetch_impl: ``"threaded"`` (default), ``"asyncio"`` (awaits the dataset's ``afetch`` or async ``__getitem__``;
            a dataset without either is read by threads) or ``"vanilla"`` (torch's own path, untouched).
        batch_pool: Batches of one worker whose samples may be in flight at once. More than ``prefetch_factor`` has that
            many batches sent to each worker; with ``in_order`` persistent ones only fetch what goes beyond it, and
            process no batch of a two-phase dataset before torch's would. Default: ``prefetch_factor`` (2) at first;
            with workers, a two-phase dataset and one of torch's samplers it then rises, to 16 at most, while it holds
            up the reading, and falls back when the caller is the slower one. With ``num_workers=0``, the batches read
            ahead of the caller.
        on_error: What a failing sample does: ``"raise"`` (default) raises its exception at its batch, after which the
            iteration can go on; ``"skip"`` leaves the sample out of its batch and logs it; a callable
            ``(index, error) -> sample`` gives a stand-in. The last two read samples one by one, without
            ``__getitems__``. A skipped sample makes its batch shorter; none is taken from elsewhere in its place.
        max_error_rate: Share of an epoch's samples, from 0 to 1, that ``on_error`` may skip or replace; the batch
            with one more raises a `DatasetError`, the same in every run. Default 0.5.
        hedging: Send a slow ``fetch`` of a two-phase dataset again, twice at most, and take the first answer; at most
            5 % more requests, none where the recent objects have more than 1 MiB on average, and few for large ones
            among small ones. Default True.
        stall_timeout: Seconds without a sample after which a process warns (in its log) of what it waits for: the
            fetches in flight with key, age and attempts, and the stacks of its threads. Default 120; None: never.
        **others: As torch's, position included.

    Raises:
        OptionError: (a ``ValueError``) An added argument is wrong or does not go with the dataset.
        UnsupportedTorchError: This torch starts its workers in a way that is not known here.

    Shutdown:
        As torch's. Workers give up their fetches at once; with ``num_workers=0`` the fetch threads end when their
        current fetch does. All threads are daemons and never hold up the exit of a process.
    """

    def __init__(
        self,
        dataset: Dataset[T_co],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler[Any] | Iterable[Any] | None = None,
        batch_sampler: Sampler[list[Any]] | Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: torch.Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
        num_fetch_workers: int | Literal["auto"] | None = None,
        fetch_impl: FetchImpl = "threaded",
        batch_pool: int | None = None,
        on_error: OnError = "raise",
        max_error_rate: float = DEFAULT_MAX_ERROR_RATE,
        hedging: bool = True,
        stall_timeout: float | None = DEFAULT_STALL_TIMEOUT_S,
    ) -> None:
        # Refuses what is wrong before torch looks.
        FetchOptions(num_fetch_workers, fetch_impl, batch_pool, on_error, max_error_rate, hedging, stall_timeout)
        # By keyword: Lightning re-creates loaders by names and wraps this very call.
        super().__init__(
            dataset=dataset,
            batch_size=batch_size,
            shuffle=shuffle,
            sampler=sampler,
            batch_sampler=batch_sampler,
            num_workers=num_workers,
            collate_fn=collate_fn,
            pin_memory=pin_memory,
            drop_last=drop_last,
            timeout=timeout,
            worker_init_fn=worker_init_fn,
            multiprocessing_context=multiprocessing_context,
            generator=generator,
            prefetch_factor=prefetch_factor,
            persistent_workers=persistent_workers,
            pin_memory_device=pin_memory_device,
            in_order=in_order,
        )
        self.num_fetch_workers = num_fetch_workers
        self.fetch_impl = fetch_impl
        self.batch_pool = batch_pool
        self.on_error = on_error
        self.max_error_rate = max_error_rate
        self.hedging = hedging
        self.stall_timeout = stall_timeout
        self._record: IterationRecord | None = None
        self._choose_engine()  # so that what does not go together is refused here

    def _choose_engine(self) -> EngineSettings | None:
        """Returns how our engine is to read the dataset, or None where torch's own path is to."""
        options = FetchOptions(
            self.num_fetch_workers,
            self.fetch_impl,
            self.batch_pool,
            self.on_error,
            self.max_error_rate,
            self.hedging,
            self.stall_timeout,
        )
        if not self.is_map_style:
            if options.on_error != "raise":
                raise OptionError("on_error needs a map-style dataset: an iterable one cannot go on after a failure")
            return None
        if not needs_engine(self.dataset, options):
            return None
        if options.on_error == "skip" and not self.collates_batches:
            raise OptionError("on_error='skip' needs automatic batching: with batch_size=None there is no batch")
        if self.num_workers > 0:
            torch_private.check_worker_loop()
        return EngineSettings(
            options,
            batch_pool=options.batch_pool or self.prefetch_factor or DEFAULT_BATCH_POOL,
            auto_collation=self.collates_batches,
            grows=self._may_grow(options),
            in_order=self.in_order,
        )

    def _may_grow(self, options: FetchOptions) -> bool:
        """Whether ``batch_pool`` may be raised where nobody notices: not in the order of draws from any generator."""
        if options.batch_pool is not None or not self.num_workers or not self.in_order or not self.collates_batches:
            return False
        return phases_of(self.dataset) is not None and draws_nothing_later(self.batch_sampler)

    def make_iterator(self) -> Any:
        """Returns a fresh iterator over the data: torch's own, or one with our engine."""
        settings = self._choose_engine()  # anew: torch lets most attributes be changed between two epochs
        if settings is None:
            return super().make_iterator()
        self._record = IterationRecord.of(self, settings)
        if self.num_workers == 0:
            return SingleProcessEngineIter(self, settings, self._record)
        self.check_worker_number_rationality()
        return MultiProcessEngineIter(self, settings, self._record)

    def stats(self) -> LoaderStats:
        """Returns what the latest iteration has counted so far: where the time goes, and what failed.

        The counts of persistent workers go on over all epochs. All is zero before the first iteration, and where
        torch's own path reads (``"vanilla"``, iterable datasets, plain datasets with one fetch worker).
        ``stats().advice`` says what to change.
        """
        return LoaderStats() if self._record is None else self._record.stats()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_record": None}  # shared memory, which only a worker's start can hand on
