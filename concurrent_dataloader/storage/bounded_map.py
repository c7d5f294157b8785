"""Many requests at once, in the order in which they were asked for, over any number of items."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 4  # items submitted per thread: one slow request does not idle the others, and memory stays bounded


def bounded_map(call: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """Yields ``call(item)`` for each item, in order; at most four items a thread are under way or waiting.

    ``Executor.map`` would take all the items at once.

    Args:
        call: Called in the threads; what it raises is raised here, and ends it.
        items: Taken one after another, in the caller's thread.
        threads: Calls at once.

    Shutdown:
        At the end, after an error, or when the generator is closed, calls that have not begun are dropped and the
        threads are joined: after the calls in flight, which the store bounds in time.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="bounded-map") as pool:
        under_way: deque[Future[R]] = deque()
        try:
            for item in items:
                under_way.append(pool.submit(call, item))
                if len(under_way) >= _AHEAD * threads:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()
