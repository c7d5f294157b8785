"""What a fetch pool is, and the one of daemon threads; asyncio_pool.py has the one of tasks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Any, Protocol

from concurrent_dataloader._base.request_events import listen
from concurrent_dataloader.dataloader_mod.caller_state import CallerState
from concurrent_dataloader.dataloader_mod.dispatch import Dispatcher
from concurrent_dataloader.dataloader_mod.pending import Fetch, FetchCancelled
from concurrent_dataloader.dataloader_mod.run import Run

logger = logging.getLogger(__name__)


class FetchPool(Protocol):
    """Carries out the runs that a `Dispatcher` starts, and tells it what they came to."""

    def submit(self, fetches: Iterable[Fetch]) -> None:
        """Takes up fetches; returns at once."""
        ...

    def start(self, runs: Iterable[Run]) -> None:
        """Starts what the dispatcher has decided on; returns at once."""
        ...

    def close(self) -> None:
        """Takes no more work and lets the threads end; idempotent."""
        ...


class ThreadPool:
    """A pool of daemon threads, as many as runs have been out at once.

    A thread that has ended a run carries on with the next one itself: in the steady state nobody is woken for it.

    Args:
        fetch: Called with an index in one of the threads, in the state of the thread that makes the pool.
        dispatcher: Decides what runs.

    Shutdown:
        `close` returns at once. An idle thread ends at once, one inside ``fetch`` when that returns; since the threads
        are daemons, none of them holds up the exit of the process.
    """

    def __init__(self, fetch: Callable[[Any], Any], dispatcher: Dispatcher) -> None:
        self._fetch, self._dispatcher = fetch, dispatcher
        self._state = CallerState()
        self._queue: SimpleQueue[Run | None] = SimpleQueue()
        self._lock = threading.Lock()  # around the number of threads
        self._threads = 0
        self._short_of_threads = self._closed = False

    def submit(self, fetches: Iterable[Fetch]) -> None:
        """Takes up fetches; returns at once."""
        self.start(self._dispatcher.add(fetches))

    def start(self, runs: Iterable[Run]) -> None:
        """Starts what the dispatcher has decided on, with more threads if need be; returns at once."""
        for run in runs:
            self._queue.put(run)
        while self._needs_a_thread():
            name = f"fetch-{self._threads}"
            thread = threading.Thread(target=self._state.run, args=(self._serve,), name=name, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the system's limit of threads: those that are there do the work, if any are
                self._do_without_a_thread(error)
                return

    def close(self) -> None:
        """Lets each thread end once it is idle; idempotent."""
        self._dispatcher.close()
        with self._lock:
            self._closed = True
        for _ in range(self._threads):
            self._queue.put(None)

    def _needs_a_thread(self) -> bool:
        with self._lock:
            if self._closed or self._threads >= self._dispatcher.running:
                return False
            self._threads += 1
            return True

    def _do_without_a_thread(self, error: RuntimeError) -> None:
        with self._lock:
            self._threads -= 1
            if not self._threads:
                raise error
            first, self._short_of_threads = not self._short_of_threads, True
        if first:
            logger.warning("going on with %d fetch threads, since no more can be started: %s", self._threads, error)

    def _serve(self) -> None:
        """The body of a pool thread."""
        while (run := self._queue.get()) is not None:
            while run is not None:
                run = self._carry_out(run)

    def _carry_out(self, run: Run) -> Run | None:
        """Returns the run with which the thread is to go on; holds no sample when it has returned."""
        if run.fetch.is_claimed:
            following = self._dispatcher.end(run, error=FetchCancelled("nobody waits for this fetch"))
        else:
            listen(run)
            try:
                value = self._fetch(run.fetch.index)
            except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to the thread that asked
                following = self._dispatcher.end(run, error=error)
            else:
                following = self._dispatcher.end(run, value)
            listen(None)
        if len(following) > 1:
            self.start(following[1:])
        return following[0] if following else None
