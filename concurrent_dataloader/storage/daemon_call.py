"""Runs a blocking call for an event loop in a daemon thread."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_daemon_thread(call: Callable[[], T]) -> T:
    """Returns what ``call`` returns, without blocking the running loop.

    ``asyncio.to_thread`` would do the same with a pool of at most 32 threads, which the interpreter joins at its exit:
    a request that hangs would then block the exit. One thread a call costs some 50 us, little beside a request.

    Shutdown:
        A cancellation returns at once; the thread goes on until its call returns, and its result is dropped. Nobody
        joins it, and it does not block the exit of the process.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, error: BaseException | None) -> None:
        if future.done():  # cancelled meanwhile
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)  # type: ignore[arg-type]  # None only where T is None

    def run() -> None:
        value, error = None, None
        try:
            value = call()
        except BaseException as caught:  # noqa: BLE001 the thread's edge: whatever it is, the awaiting task gets it
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile: nobody waits
            loop.call_soon_threadsafe(settle, value, error)

    # With the caller's context, in which the listener of its requests is found.
    threading.Thread(target=contextvars.copy_context().run, args=(run,), name="storage-call", daemon=True).start()
    return await future
