"""The fetch pools: daemon threads, or tasks on an event loop, for a worker's whole life."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import Callable, Coroutine, Iterable
from queue import SimpleQueue
from typing import Any, Protocol

from concurrent_dataloader._base.errors import DatasetError
from concurrent_dataloader._base.request_events import listen
from concurrent_dataloader.dataloader_mod.caller_state import CallerState
from concurrent_dataloader.dataloader_mod.dispatch import Dispatcher, Run
from concurrent_dataloader.dataloader_mod.pending import Fetch, FetchCancelled

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 1.0
"""How long `AsyncioPool.close` waits for the loop to cancel its tasks; a task that ignores that is left behind."""


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


class AsyncioPool:
    """An event loop in a daemon thread, with a task for each run that is out.

    The loop is our own, so that the pool also works where one is running already, as in a notebook.

    Args:
        fetch: Coroutine function (or a callable that returns an awaitable), called with an index on the loop.
        dispatcher: Decides what runs.
        aclose: Awaited on the loop when the pool closes.

    Shutdown:
        `close` cancels the tasks, awaits ``aclose`` and joins the thread, for at most `CLOSE_TIMEOUT_S`.
    """

    def __init__(
        self,
        fetch: Callable[[Any], Any],
        dispatcher: Dispatcher,
        aclose: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self._fetch, self._dispatcher, self._aclose = fetch, dispatcher, aclose
        self._state = CallerState()
        self._tasks: set[asyncio.Task[None]] = set()  # touched on the loop only
        self._lock = threading.Lock()  # around the making of the loop and its end
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, fetches: Iterable[Fetch]) -> None:
        """Takes up fetches; returns at once."""
        self.start(self._dispatcher.add(fetches))

    def start(self, runs: Iterable[Run]) -> None:
        """Starts what the dispatcher has decided on; returns at once. All of it costs the loop one wake-up."""
        runs = list(runs)
        if not runs:
            return
        with self._lock:
            if self._closed:
                return
            if self._loop is None:
                self._loop = loop = asyncio.new_event_loop()
                body = functools.partial(self._state.run, lambda: _run_loop(loop))
                self._thread = threading.Thread(target=body, name="fetch-loop", daemon=True)
                self._thread.start()
            self._loop.call_soon_threadsafe(self._spawn, runs, context=self._state.context())

    def _spawn(self, runs: list[Run]) -> None:
        for run in runs:
            task = asyncio.get_running_loop().create_task(self._serve(run))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, run: Run | None) -> None:
        while run is not None:
            following = await self._carry_out(run)
            self._spawn(following[1:])
            run = following[0] if following else None

    async def _carry_out(self, run: Run) -> list[Run]:
        if run.fetch.is_claimed:
            return self._dispatcher.end(run, error=FetchCancelled("nobody waits for this fetch"))
        listen(run)
        try:
            value = await self._fetch(run.fetch.index)
        except asyncio.CancelledError:
            if not self._closed:  # the dataset's own doing, which is a failure like any other
                return self._dispatcher.end(run, error=DatasetError("the dataset's coroutine was cancelled"))
            self._dispatcher.end(run, error=FetchCancelled("the event loop of the fetch pool was closed"))
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to the thread that asked
            return self._dispatcher.end(run, error=error)
        return self._dispatcher.end(run, value)

    def close(self) -> None:
        """Cancels what runs and stops the loop; idempotent."""
        self._dispatcher.close()
        with self._lock:
            loop, self._loop, self._closed = self._loop, None, True
        if loop is None or self._thread is None:
            return
        loop.call_soon_threadsafe(lambda: loop.create_task(self._stop(loop)))
        if self._thread is not threading.current_thread():
            self._thread.join(CLOSE_TIMEOUT_S)

    async def _stop(self, loop: asyncio.AbstractEventLoop) -> None:
        await _cancel(self._tasks)
        try:
            if self._aclose is not None:
                await self._aclose()
        except Exception:  # the data is all there; a client that closes badly must not fail the run
            logger.warning("closing the dataset's event-loop client failed", exc_info=True)
        finally:
            await _cancel(asyncio.all_tasks() - {asyncio.current_task()})  # what the dataset itself has started
            loop.stop()


async def _cancel(tasks: Iterable[asyncio.Task[Any] | None]) -> None:
    running = [task for task in tasks if task is not None]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()
