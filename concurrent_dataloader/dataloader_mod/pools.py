"""The fetch pools: a fixed number of daemon threads, or of tasks on an event loop, for a worker's whole life."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from queue import SimpleQueue
from typing import Any, Protocol

from concurrent_dataloader.dataloader_mod.pending import Fetch, FetchCancelled

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 1.0
"""How long `AsyncioPool.close` waits for the loop to cancel its tasks; a task that ignores that is left behind."""


class FetchPool(Protocol):
    """Runs fetches, oldest first, and settles each with its value or its error."""

    def submit(self, fetches: Iterable[Fetch]) -> None:
        """Queues fetches; returns at once. The caller sees to it that two threads do not submit at the same time."""
        ...

    def close(self) -> None:
        """Takes no more work and lets the threads end; idempotent."""
        ...


class ThreadPool:
    """A pool of daemon threads, started as the first fetches come.

    Args:
        fetch: Called with an index in one of the threads.
        size: Number of threads, and so of fetches in flight at once.

    Shutdown:
        `close` returns at once. An idle thread ends at once, one inside ``fetch`` when that returns; since the threads
        are daemons, none of them holds up the exit of the process.
    """

    def __init__(self, fetch: Callable[[Any], Any], size: int) -> None:
        self._fetch, self._size = fetch, size
        self._queue: SimpleQueue[Fetch | None] = SimpleQueue()
        self._started = 0

    def submit(self, fetches: Iterable[Fetch]) -> None:
        """Queues fetches; returns at once."""
        for fetch in fetches:
            self._queue.put(fetch)
            if self._started < self._size:
                self._started += 1
                name = f"fetch-{self._started}"
                threading.Thread(target=_run_fetches, args=(self._queue, self._fetch), name=name, daemon=True).start()

    def close(self) -> None:
        """Lets each thread end once it is idle; idempotent."""
        for _ in range(self._started):
            self._queue.put(None)
        self._started = self._size


def _run_fetches(queue: SimpleQueue[Fetch | None], call: Callable[[Any], Any]) -> None:
    """The body of a pool thread: it holds the queue rather than the pool, so that a dropped pool can be collected."""
    while (fetch := queue.get()) is not None:
        if fetch.is_claimed:
            continue
        try:
            fetch.settle(call(fetch.index))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to the thread that asked
            fetch.settle(error=error)
        del fetch  # an idle thread holds no sample


class AsyncioPool:
    """An event loop in a daemon thread, on which a bounded number of tasks fetches.

    The loop is our own, so that the pool also works where one is running already, as in a notebook.

    Args:
        fetch: Coroutine function (or a callable that returns an awaitable), called with an index on the loop.
        size: Number of fetches in flight at once.
        aclose: Awaited on the loop when the pool closes.

    Shutdown:
        `close` cancels the tasks, awaits ``aclose`` and joins the thread, for at most `CLOSE_TIMEOUT_S`.
    """

    def __init__(
        self,
        fetch: Callable[[Any], Any],
        size: int,
        aclose: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self._fetch, self._size, self._aclose = fetch, size, aclose
        self._backlog: deque[Fetch] = deque()  # touched on the loop only
        self._tasks: set[asyncio.Task[None]] = set()  # touched on the loop only
        self._running = 0  # tasks that will look at the backlog again; a finished one stays in _tasks for a moment
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def submit(self, fetches: Iterable[Fetch]) -> None:
        """Queues fetches; returns at once. All of them cost the loop one wake-up."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=_run_loop, args=(self._loop,), name="fetch-loop", daemon=True)
            self._thread.start()
        self._loop.call_soon_threadsafe(self._admit, list(fetches))

    def _admit(self, fetches: list[Fetch]) -> None:
        self._backlog.extend(fetches)
        for _ in range(min(len(fetches), self._size - self._running)):
            self._running += 1
            task = asyncio.get_running_loop().create_task(self._run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self) -> None:
        try:
            while self._backlog:
                await self._answer(self._backlog.popleft())
        finally:
            self._running -= 1  # with no await since the backlog was seen empty: `_admit` starts another for what comes

    async def _answer(self, fetch: Fetch) -> None:
        if fetch.is_claimed:
            return
        try:
            fetch.settle(await self._fetch(fetch.index))
        except asyncio.CancelledError:
            fetch.settle(error=FetchCancelled("the event loop of the fetch pool was closed"))
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to the thread that asked
            fetch.settle(error=error)

    def close(self) -> None:
        """Cancels what runs and stops the loop; idempotent."""
        loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        loop.call_soon_threadsafe(lambda: loop.create_task(self._stop(loop)))
        if self._thread is not threading.current_thread():
            self._thread.join(CLOSE_TIMEOUT_S)

    async def _stop(self, loop: asyncio.AbstractEventLoop) -> None:
        self._backlog.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            if self._aclose is not None:
                await self._aclose()
        except Exception:  # the data is all there; a client that closes badly must not fail the run
            logger.warning("closing the dataset's event-loop client failed", exc_info=True)
        finally:
            loop.stop()


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()
