"""The worker process: torch's own loop, reading from a queue that keeps the batch window full."""

from __future__ import annotations

import gc
import multiprocessing
import os
import queue
import threading
from dataclasses import dataclass
from typing import Any

from concurrent_dataloader._base import torch_private
from concurrent_dataloader._base.freed_memory import give_back_freed_memory, keep_freed_memory
from concurrent_dataloader._base.held_batches import Held
from concurrent_dataloader.dataloader_mod.batch_mail import MailedQueue
from concurrent_dataloader.dataloader_mod.batch_memory import BatchMemory
from concurrent_dataloader.dataloader_mod.engine import EngineSettings, FetchEngine
from concurrent_dataloader.dataloader_mod.pending import PendingBatch
from concurrent_dataloader.dataloader_mod.post_office import PostBox
from concurrent_dataloader.dataloader_mod.stats import Counters, StatsBoard


def _worker_loop(*args: Any, **kwargs: Any) -> None:
    """torch's worker loop under a name of ours: scripts may put it in the place of torch's, which changes nothing.

    ``torch.utils.data._utils.worker._worker_loop = _worker_loop`` is a documented step of existing scripts. It is not
    needed: our `DataLoader` starts its workers without it, and all other loaders go on as they were.
    """
    torch_private.TORCH_WORKER_LOOP(*args, **kwargs)


@dataclass(frozen=True)
class WorkerSetup:
    """What the main process hands to each of its workers besides torch's arguments.

    Attributes:
        settings: How the engine reads.
        random_draws: A shared byte that a worker sets when a plain dataset draws random numbers in its pool.
        board: The counters of all workers, shared.
        box: Where this worker puts the descriptors of its batches; None: they go multiprocessing's way.
    """

    settings: EngineSettings
    random_draws: Any
    board: StatsBoard
    box: PostBox | None


def run_worker(setup: WorkerSetup, *args: Any) -> None:
    """The target of a worker process: runs torch's loop with our queue, dataset and init function.

    Args:
        setup: See there.
        args: What torch would have called its loop with.

    Shutdown:
        Returns when torch's loop does. Fetches that are out are given up as soon as torch's final message arrives, not
        when their turn comes; daemon threads that still wait for storage do not hold up the exit.
    """
    # The garbage collector of a forked worker would touch, and so copy, each page of the parent's heap: 0.2 s before
    # the first batch where torch is all that is imported. It would also run the finalizers of the parent's garbage.
    gc.freeze()
    keep_freed_memory()
    arguments = torch_private.WorkerArguments(args)
    user_dataset, user_init, user_collate = arguments.dataset, arguments["init_fn"], arguments["collate_fn"]
    parent = _Parent()
    counters = setup.board.worker(arguments["worker_id"])
    memory = BatchMemory()
    worker = _Worker(user_dataset, setup, arguments["index_queue"], counters, parent, memory)

    def init(worker_id: int) -> None:
        torch_private.show_dataset_to_worker_info(user_dataset)
        if user_init is not None:
            user_init(worker_id)
        worker.start()  # here torch carries an error to the main process

    def collate(samples: Any) -> Any:
        with memory.collating():
            batch = user_collate(samples)
        return worker.with_failures(batch)

    where = f"in DataLoader worker process {arguments['worker_id']}"
    arguments["data_queue"] = MailedQueue(arguments["data_queue"], setup.box, memory, where)
    arguments.dataset, arguments["init_fn"], arguments["index_queue"] = worker, init, worker
    arguments["collate_fn"] = collate
    if setup.box is not None:
        torch_private.collate_into(memory.allocate)
    try:
        arguments.run_loop()
    finally:
        worker.close()
        if parent.is_gone():
            # Nobody reads the queue. Its feeder would wait for ever for room in a pipe that this process holds open.
            arguments["data_queue"].cancel_join_thread()


class _Worker:
    """What torch's loop sees in place of its index queue and of its dataset.

    As the queue, it hands on torch's messages in their order, a batch of indices as a `PendingBatch` whose samples are
    in flight already, and a held one (`held_batches`) once it is set free. A thread of its own reads the real queue, so
    that batches are taken up while the main thread is busy with an earlier one. As the dataset, it answers a
    `PendingBatch` with its samples.

    The engine is built by `start`: by then torch has seeded the generators and called the user's init function.
    """

    def __init__(
        self,
        dataset: Any,
        setup: WorkerSetup,
        index_queue: Any,
        counters: Counters,
        parent: _Parent,
        memory: BatchMemory,
    ) -> None:
        self._dataset, self._setup, self._index_queue = dataset, setup, index_queue
        self._counters, self._parent, self._memory = counters, parent, memory
        self._messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._engine: FetchEngine | None = None
        self._current: PendingBatch | None = None

    def get(self, timeout: float) -> Any:
        """Returns torch's next message, as its queue would.

        Raises:
            queue.Empty: There was none for ``timeout`` seconds.
        """
        if self._engine is None:  # the init function has failed: torch answers each request with its error
            message = self._index_queue.get(timeout=timeout)
            return self.get(timeout) if isinstance(message, int) else message
        if self._current is not None:
            self._engine.release(self._current)  # torch's loop may have passed it over without reading it
            self._current = None
        try:
            message = self._messages.get(timeout=timeout)
        except queue.Empty:
            self._parent.exit_if_gone()  # torch itself does not notice where that was so before its loop began
            self._memory.clear()
            give_back_freed_memory()
            raise
        if isinstance(message, _IntakeFailed):
            raise message.error
        if isinstance(message, tuple):
            self._current = message[1]
        return message

    def __getitems__(self, batch: PendingBatch) -> Any:
        assert self._engine is not None, "torch's loop asks for samples only after it got their batch"
        return self._engine.read(batch)

    __getitem__ = __getitems__

    def with_failures(self, batch: Any) -> Any:
        """Returns what is sent to the main process for a batch that was collated."""
        assert self._engine is not None, "torch's loop collates only what it has read"
        return self._engine.with_failures(batch)

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()

    def start(self) -> None:
        """Builds the engine and takes up what waits in the real queue."""
        self._engine = FetchEngine(
            self._dataset,
            self._setup.settings,
            counters=self._counters,
            on_random_draws=self._tell_random_draws,
            while_waiting=self._parent.exit_if_gone,
        )
        self._engine.begin_wait()
        threading.Thread(target=self._take_in, args=(self._engine,), name="batch-intake", daemon=True).start()

    def _take_in(self, engine: FetchEngine) -> None:
        """The body of the intake thread: reads torch's queue until the final message."""
        held: dict[int, PendingBatch] = {}
        try:
            while (message := self._index_queue.get()) is not None:
                match message:
                    case (number, Held(request)):
                        held[number] = engine.request(request)
                    case (number, request):
                        self._messages.put((number, engine.request(request)))
                    case int(number):
                        if number in held:  # else it was told before, and a Ctrl-C had it told again
                            self._messages.put((number, held.pop(number)))
                    case _:  # a new epoch: it is for torch's loop, and nobody will ask for what is still held
                        while held:
                            engine.release(held.popitem()[1])
                        self._messages.put(message)
            engine.close()  # nobody will read what is still out; the main thread may be waiting for it
            self._messages.put(None)
        except BaseException as error:  # noqa: BLE001 - torch's loop is the one to die of a broken queue, and it is told
            self._messages.put(_IntakeFailed(error))

    def _tell_random_draws(self) -> None:
        self._setup.random_draws.value = 1


@dataclass(frozen=True)
class _IntakeFailed:
    error: BaseException


class _Parent:
    """The process of the loader, as its worker sees it.

    Of the two signs that it is gone neither is enough: a worker that was forked later holds the pipe open by which an
    earlier one would notice, and under ``forkserver`` the process that the system calls the parent is another one.
    """

    def __init__(self) -> None:
        self._pid = os.getppid()

    def is_gone(self) -> bool:
        """Whether nobody will read what the worker sends."""
        parent = multiprocessing.parent_process()
        return os.getppid() != self._pid or (parent is not None and not parent.is_alive())

    def exit_if_gone(self) -> None:
        """Ends the worker without a word: the process that this would be told to is gone."""
        if self.is_gone():
            raise SystemExit
