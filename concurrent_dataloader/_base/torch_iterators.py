"""torch's two iterators, with their private points as methods of plain names; tried on torch 2.13 and 2.14.

What the library changes in them is here, as little as can be; how a loader uses it is in dataloader_mod/iterators.py.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable
from typing import Any

from torch.utils.data import _utils
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter, _SingleProcessDataLoaderIter

from concurrent_dataloader._base import worker_watch
from concurrent_dataloader._base.handed_over import make_process
from concurrent_dataloader._base.held_batches import HeldBatches
from concurrent_dataloader._base.override import Override
from concurrent_dataloader._base.torch_private import multiprocessing_context

_LOOK_AGAIN_S = 0.2  # between two looks at the workers while a thread pins what they send


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
        if not all(worker.is_alive() for worker in self._workers):
            worker_watch.free_event_of_the_dead(self._workers_done_event)
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
        if ended:
            worker_watch.free_event_of_the_dead(self._workers_done_event)
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
