"""The one file that names torch's private parts, tried on torch 2.13 and 2.14.

Workers run torch's own `_worker_loop`, with its fetcher. We only change the queue, the dataset and the init function
that it is given. torch's iterators are subclassed here with their private points as methods of plain names.
"""

from __future__ import annotations

import inspect
import os
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch._utils import ExceptionWrapper
from torch.utils.data import _utils
from torch.utils.data.dataloader import _DatasetKind, _MultiProcessingDataLoaderIter, _SingleProcessDataLoaderIter

from concurrent_dataloader._base import worker_watch
from concurrent_dataloader._base.errors import UnsupportedTorchError
from concurrent_dataloader._base.handed_over import make_process
from concurrent_dataloader._base.held_batches import HeldBatches
from concurrent_dataloader._base.override import Override

T_co = TypeVar("T_co", covariant=True)
TORCH_WORKER_LOOP: Callable[..., None] = _utils.worker._worker_loop
"""torch's loop as it was when this module was imported, before a script patches the name."""
CHECK_INTERVAL_S: float = _utils.MP_STATUS_CHECK_INTERVAL  # between two looks whether the other side is still alive
_LOOK_AGAIN_S = 0.2  # between two looks at the workers while a thread pins what they send
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


class MultiProcessIter(_MultiProcessingDataLoaderIter):
    """torch's multi-process iterator, whose worker processes run a target of ours.

    Args:
        loader: The loader.
        next_target: Called before each worker is started; returns what runs there in place of torch's loop.
        batches_per_worker: Batches out at each worker, if more than the loader's ``prefetch_factor``.
    """

    _shutdown = True  # until torch's __init__ says otherwise: a Ctrl-C before that leaves nothing to be shut down

    def __init__(self, loader: Any, next_target: Callable[[], Callable[..., None]], batches_per_worker: int) -> None:
        context, self._process = multiprocessing_context(loader), os.getpid()
        self._requests: dict[int, Any] = {}  # what was sent to the workers, by torch's number of the batch
        self._held = HeldBatches.of(loader)

        def start_process(*, target: Callable[..., None], **kwargs: Any) -> Any:
            del target  # torch's loop, or what a script has put in its place: ours runs it as it was imported
            return make_process(context, next_target(), **kwargs)

        super().__init__(
            Override(
                loader,
                multiprocessing_context=Override(context, Process=start_process),
                # A factor of 0 is refused by torch here, and not at the loader's construction.
                prefetch_factor=loader.prefetch_factor and max(loader.prefetch_factor, batches_per_worker),
            )
        )
        self._profile_name = f"enumerate(DataLoader)#{_MultiProcessingDataLoaderIter.__name__}.__next__"
        # An error that a worker sent makes a reference cycle with this iterator. When it is collected, its queues would
        # be closed before torch's __del__ can send the final messages, and each worker waited for 5 s: they are held.
        weakref.finalize(self, lambda queues: None, self._index_queues).atexit = False

    def keep_out(self, batches_per_worker: int) -> None:
        """Keeps so many batches out at each worker from now on; those out already are still answered."""
        self._prefetch_factor = batches_per_worker
        for _ in range(batches_per_worker * self._num_workers - len(self._task_info)):
            self._try_put_index()

    def _try_put_index(self) -> None:
        out = max(len(self._task_info), self._tasks_outstanding)  # the latter has what dead workers owe
        if out < self._prefetch_factor * self._num_workers:
            super()._try_put_index()

    def receive(self, data: Any, waited_s: float) -> Any:
        """Returns what the caller gets for data that was received after so many seconds."""
        del waited_s
        return data

    def after_batch(self) -> None:
        """Called in the main process after each batch, or exception, that was received."""

    def begin_epoch(self, loader: Any) -> None:
        """Called with the loader before the first batch of each epoch is asked for."""

    def describe_requests(self, requests: list[Any]) -> str:
        """Names the samples of requests for a message."""
        return ", ".join(map(repr, requests))

    def after_shutdown(self) -> None:
        """Called in the main process when the workers are gone."""

    def _shutdown_workers(self) -> None:
        if self._shutdown or self._process != os.getpid():  # a forked process inherits an iterator, and no worker
            return
        super()._shutdown_workers()
        if self._shutdown:  # else torch leaves it to the end of the interpreter
            self.after_shutdown()  # type: ignore[unreachable]  # no: torch has set it

    def _reset(self, loader: Any, first_iter: bool = False) -> None:
        if self._worker_pids_set:  # torch's handler of SIGCHLD is to know none of these workers: see worker_watch.py
            _utils.signal_handling._remove_worker_pids(id(self))  # type: ignore[attr-defined]
            self._worker_pids_set = False
        self._watch = worker_watch.WorkerWatch(self._workers)
        pipe = self._watch.guard(self._worker_result_queue._reader)  # type: ignore[attr-defined]
        self._pipes = [] if hasattr(self, "_pin_memory_thread") else [pipe]  # else that thread reads it
        self._requests = {}
        self.begin_epoch(loader)
        super()._reset(loader, first_iter)

    def _next_index(self) -> Any:
        request = super()._next_index()  # type: ignore[no-untyped-call]
        self._requests[self._send_idx] = request
        return self._held.wrap(self._send_idx, request, self._rcvd_idx)

    def _next_data(self) -> Any:
        began_s = time.perf_counter()
        self._held.free(self._rcvd_idx, self._task_info, self._index_queues)  # where a Ctrl-C ended the last call
        try:
            data = super()._next_data()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            lost = self._lost_requests() if worker_watch.tells_of_a_death(error) else []
            if not lost:
                raise
            text = str(error).rstrip(". ")  # torch has both spellings
            raise RuntimeError(f"{text}. It was fetching {self.describe_requests(lost)}.") from error
        finally:
            self._held.free(self._rcvd_idx, self._task_info, self._index_queues)
            self.after_batch()
            self._requests = {sent: each for sent, each in self._requests.items() if sent in self._task_info}
        return self.receive(data, time.perf_counter() - began_s)

    def _try_get_data(self, *timeout_s: float) -> Any:
        """Waits for torch's queue, as torch does, and for the end of a worker."""
        ends_s = time.monotonic() + (timeout_s[0] if timeout_s else _utils.MP_STATUS_CHECK_INTERVAL)
        while True:
            left_s = max(0.0, ends_s - time.monotonic())
            wait_s = 0.0 if self._pipes else min(left_s, _LOOK_AGAIN_S)
            self._raise_of_ended(left_s if self._pipes else 0.0, self._pipes)
            received = super()._try_get_data(wait_s)  # type: ignore[no-untyped-call]
            if received[0] and not all(self._workers_status) and received[1][0] not in self._task_info:
                continue  # a dead worker had sent it, and torch has passed it over since
            if received[0] or time.monotonic() >= ends_s:
                break
        if not received[0] and not all(self._workers_status):
            worker_watch.free_lock_of_the_dead(self._worker_result_queue)
        return received

    def _raise_of_ended(self, timeout_s: float, pipes: list[Any]) -> None:
        ended = self._watch.ended(timeout_s, pipes)
        for number, worker in enumerate(self._workers):
            if worker in ended and self._workers_status[number]:
                self._mark_worker_as_unavailable(number)
        if ended:
            raise RuntimeError(worker_watch.describe_ends(ended))

    def _lost_requests(self) -> list[Any]:
        """What was sent to workers that are no longer alive, and not answered."""
        dead = {number for number, worker in enumerate(self._workers) if not worker.is_alive()}
        tasks = ((sent, self._task_info.get(sent, ())) for sent in self._requests)
        return [self._requests[sent] for sent, task in tasks if len(task) == 1 and task[0] in dead]


class SingleProcessIter(_SingleProcessDataLoaderIter):
    """torch's in-process iterator, whose fetcher is given requests, and the dataset that is asked for their samples."""

    def __init__(self, loader: Any, dataset: Any) -> None:
        super().__init__(loader)
        self.read_from(dataset)
        self._profile_name = f"enumerate(DataLoader)#{_SingleProcessDataLoaderIter.__name__}.__next__"

    def read_from(self, dataset: Any) -> None:
        """Has torch's fetcher ask this dataset for the samples of a request from now on."""
        self._dataset_fetcher.dataset = dataset

    def sample_indices(self) -> Any:
        """Draws from the sampler: the indices of a batch, or one index; raises StopIteration at its end."""
        return super()._next_index()  # type: ignore[no-untyped-call]

    def next_request(self) -> Any:
        """Returns the request whose data the caller gets next."""
        return self.sample_indices()

    def receive(self, data: Any, waited_s: float) -> Any:
        """Returns what the caller gets for data that was made in so many seconds."""
        del waited_s
        return data

    def _next_data(self) -> Any:
        began_s = time.perf_counter()
        data = super()._next_data()  # type: ignore[no-untyped-call]
        return self.receive(data, time.perf_counter() - began_s)

    def _next_index(self) -> Any:
        return self.next_request()


def multiprocessing_context(loader: Any) -> Any:
    """Returns the context in which torch would make the loader's queues and processes."""
    return loader.multiprocessing_context or torch.multiprocessing
