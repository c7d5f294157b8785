"""The fetch pool of tasks on an event loop, for a worker's whole life."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from concurrent_dataloader._base.errors import DatasetError
from concurrent_dataloader._base.request_events import listen
from concurrent_dataloader.dataloader_mod.caller_state import CallerState
from concurrent_dataloader.dataloader_mod.dispatch import Dispatcher
from concurrent_dataloader.dataloader_mod.pending import Fetch, FetchCancelled
from concurrent_dataloader.dataloader_mod.run import Run

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 1.0
"""How long `AsyncioPool.close` waits for the loop to cancel its tasks; a task that ignores that is left behind."""


class AsyncioPool:
    """An event loop in a daemon thread, with a task for each run that is out.

    The loop is our own, so that the pool also works where one is running already, as in a notebook. It is made with the
    first fetch: in a worker process, after the fork. It is uvloop's where that is installed, unless the process has an
    event loop policy of its own: obstore answers by a call from another thread, and asyncio's loop spends a system call
    and a turn of the interpreter's lock on each, uvloop's one on many (docs/asyncio.md).

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
                self._loop = loop = _new_loop()
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
            if len(following) > 1:
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


def _new_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    if type(loop) is not asyncio.SelectorEventLoop:  # Windows', or what the user's policy gives
        return loop
    try:
        import uvloop  # here, not above: threads have no use for it
    except ImportError:
        return loop
    loop.close()
    faster: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return faster


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()
