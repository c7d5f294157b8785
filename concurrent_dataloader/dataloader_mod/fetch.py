"""The three fetch implementations by name.

``"threaded"``
    A pool of threads calls ``fetch`` (or ``__getitem__``, ``__getitems__``).
``"asyncio"``
    An event loop awaits ``afetch`` (or an async ``__getitem__``). A dataset that has neither is read by threads.
``"vanilla"``
    torch's own path; no pool is made.
"""

from __future__ import annotations

from concurrent_dataloader._base.options import FETCH_IMPLS
from concurrent_dataloader.dataloader_mod.asyncio_pool import AsyncioPool
from concurrent_dataloader.dataloader_mod.dispatch import Dispatcher
from concurrent_dataloader.dataloader_mod.plan import FetchPlan
from concurrent_dataloader.dataloader_mod.pools import FetchPool, ThreadPool

__all__ = ["FETCH_IMPLS", "AsyncioPool", "FetchPool", "ThreadPool", "make_pool"]


def make_pool(plan: FetchPlan, dispatcher: Dispatcher, size: int) -> FetchPool:
    """Returns the pool that a plan wants; no thread is started yet.

    Args:
        plan: Says what one fetch is.
        dispatcher: Decides what runs.
        size: Fetches in flight at the most, further attempts aside.
    """
    if plan.prepare is not None:
        plan.prepare(size)
    if plan.is_async:
        return AsyncioPool(plan.fetch, dispatcher, plan.aclose)
    return ThreadPool(plan.fetch, dispatcher)
