"""`DataLoader`: torch's, with the waiting for storage overlapped."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar

import torch
from torch.utils.data import Dataset, Sampler

from concurrent_dataloader._base import torch_private
from concurrent_dataloader._base.errors import OptionError
from concurrent_dataloader._base.options import DEFAULT_BATCH_POOL, FetchImpl, FetchOptions, OnError
from concurrent_dataloader._base.two_phase import phases_of
from concurrent_dataloader.dataloader_mod.engine import EngineSettings
from concurrent_dataloader.dataloader_mod.iterators import MultiProcessEngineIter, SingleProcessEngineIter
from concurrent_dataloader.dataloader_mod.plan import needs_engine

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
            ``num_workers=0``. ``None`` (default): ``"auto"`` for two-phase datasets, 1 for all others. ``"auto"`` is at
            present a fixed 32 per process.
        fetch_impl: ``"threaded"`` (default), ``"asyncio"`` (awaits the dataset's ``afetch`` or async ``__getitem__``;
            a dataset without either is read by threads) or ``"vanilla"`` (torch's own path, untouched).
        batch_pool: Batches of one worker whose samples may be in flight at once. Default: ``prefetch_factor`` (2). More
            than ``prefetch_factor`` has that many batches sent to each worker. With ``num_workers=0``, the batches read
            ahead of the caller.
        on_error: What a failing sample does: ``"raise"`` (default) raises its exception at its batch, after which the
            iteration can go on; ``"skip"`` leaves the sample out of its batch and logs it; a callable
            ``(index, error) -> sample`` gives a stand-in. The last two read samples one by one, without
            ``__getitems__``.
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
    ) -> None:
        options = FetchOptions(num_fetch_workers, fetch_impl, batch_pool, on_error)
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
        self._engine_settings = self._choose_engine(options)

    def _choose_engine(self, options: FetchOptions) -> EngineSettings | None:
        """Returns how our engine is to read the dataset, or None where torch's own path is to."""
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
            fetch_workers=options.fetch_workers(two_phase=phases_of(self.dataset) is not None),
            batch_pool=options.batch_pool or self.prefetch_factor or DEFAULT_BATCH_POOL,
            auto_collation=self.collates_batches,
        )

    def make_iterator(self) -> Any:
        """Returns a fresh iterator over the data: torch's own, or one with our engine."""
        if self._engine_settings is None:
            return super().make_iterator()
        if self.num_workers == 0:
            return SingleProcessEngineIter(self, self._engine_settings)
        return MultiProcessEngineIter(self, self._engine_settings)
