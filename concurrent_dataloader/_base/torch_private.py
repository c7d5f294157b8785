"""torch's private parts but its iterators (torch_iterators.py): no other file names any. Tried on torch 2.13 and 2.14.

Workers run torch's own `_worker_loop`, with its fetcher. We only change the queues, the dataset and the functions that
it is given, and where collation finds shared memory.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch._utils import ExceptionWrapper
from torch.utils.data import _utils
from torch.utils.data.dataloader import _DatasetKind

from concurrent_dataloader._base.errors import UnsupportedTorchError

T_co = TypeVar("T_co", covariant=True)
TORCH_WORKER_LOOP: Callable[..., None] = _utils.worker._worker_loop
"""torch's loop as it was when this module was imported, before a script patches the name."""
CHECK_INTERVAL_S: float = _utils.MP_STATUS_CHECK_INTERVAL  # between two looks whether the other side is still alive
_COLLATE_TENSORS = _utils.collate.collate_tensor_fn.__code__
_REQUIRED = frozenset({"dataset_kind", "index_queue", "data_queue", "auto_collation", "init_fn", "worker_id"})
_KNOWN = _REQUIRED | {
    "dataset",  # torch 2.13
    "dataset_holder",  # torch 2.14: a list that the worker empties
    "done_event",
    "collate_fn",
    "drop_last",
    "base_seed",
    "num_workers",
    "persistent_workers",
    "shared_seed",
}


def check_worker_loop() -> None:
    """Refuses to start workers where torch's loop has arguments that we do not know.

    Raises:
        UnsupportedTorchError: An argument that we replace is missing, or there is one whose meaning we do not know.
    """
    names = set(inspect.signature(TORCH_WORKER_LOOP).parameters)
    missing, unknown = _REQUIRED - names, names - _KNOWN
    if missing or unknown or not names & {"dataset", "dataset_holder"}:
        raise UnsupportedTorchError(
            f"torch {torch.__version__} starts its DataLoader workers with arguments that this version of "
            f"concurrent_dataloader does not know (missing: {sorted(missing)}, unknown: {sorted(unknown)}). "
            "Use fetch_impl='vanilla', a tested torch (2.13, 2.14), or a newer concurrent_dataloader."
        )


class WorkerArguments:
    """The arguments of one call of torch's worker loop, by name; torch gives them by position."""

    def __init__(self, args: tuple[Any, ...]) -> None:
        self._bound = inspect.signature(TORCH_WORKER_LOOP).bind(*args).arguments

    def __getitem__(self, name: str) -> Any:
        return self._bound[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._bound[name] = value

    @property
    def dataset(self) -> Any:
        """The dataset of this worker, under both spellings."""
        return self._bound["dataset"] if "dataset" in self._bound else self._bound["dataset_holder"][0]

    @dataset.setter
    def dataset(self, dataset: Any) -> None:
        if "dataset" in self._bound:
            self._bound["dataset"] = dataset
        else:
            self._bound["dataset_holder"][:] = [dataset]

    def run_loop(self) -> None:
        """Runs the loop until torch ends the worker."""
        TORCH_WORKER_LOOP(**self._bound)


def show_dataset_to_worker_info(dataset: Any) -> None:
    """Makes ``get_worker_info().dataset`` the user's dataset, where the loop was given a stand-in."""
    info = _utils.worker._worker_info
    assert info is not None, "torch's loop sets it before it calls the init function"
    _utils.worker._worker_info = replace(info, dataset=dataset)


def wrap_exception(error: BaseException, where: str) -> Any:
    """Returns the envelope in which torch carries an exception from a worker to the main process."""
    return ExceptionWrapper((type(error), error, error.__traceback__), where)  # type: ignore[no-untyped-call]


def pin_memory(data: Any, device: str | None = None) -> Any:
    """Returns data in pinned memory, as torch's pinning thread makes it."""
    return _utils.pin_memory.pin_memory(data, device)  # type: ignore[no-untyped-call]


def collate_into(allocate: Callable[[int], torch.UntypedStorage | None]) -> None:
    """In this process, has torch's collation take the shared memory of its batches from a function.

    Args:
        allocate: Returns a storage of so many bytes, not cleared; None: torch makes one.
    """
    storage_class: Any = torch.UntypedStorage
    torchs_way = storage_class._new_shared

    def new_shared(size: int, *, device: Any = "cpu") -> Any:
        storage: Any = allocate(size) if torch.device(device).type == "cpu" else None
        if storage is None:
            return torchs_way(size, device=device)
        if sys._getframe(2).f_code is not _COLLATE_TENSORS:  # whose `stack` writes all of it
            storage.fill_(0)  # a collate function of the user's may leave some as it is: torch's memory holds zeros
        return storage

    storage_class._new_shared = new_shared


def shares_descriptors() -> bool:
    """Whether torch shares memory by descriptors, which is its default on Linux."""
    return bool(torch.multiprocessing.get_sharing_strategy() == "file_descriptor")  # type: ignore[no-untyped-call]


class LoaderBase(torch.utils.data.DataLoader[T_co]):
    """torch's loader with its private points under plain names."""

    def make_iterator(self) -> Any:
        """Returns a fresh iterator over the data; torch's own unless overridden."""
        return super()._get_iterator()

    def _get_iterator(self) -> Any:
        return self.make_iterator()

    @property
    def is_map_style(self) -> bool:
        """Whether torch takes the dataset for a map-style one."""
        return bool(self._dataset_kind == _DatasetKind.Map)

    @property
    def collates_batches(self) -> bool:
        """Whether the sampler gives batches of indices (torch's automatic batching) rather than single ones."""
        return bool(self._auto_collation)


def multiprocessing_context(loader: Any) -> Any:
    """Returns the context in which torch would make the loader's queues and processes."""
    return loader.multiprocessing_context or torch.multiprocessing
