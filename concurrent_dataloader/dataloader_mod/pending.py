"""One fetch and one batch on their way: what the pool fills in and the main thread takes out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from concurrent_dataloader._base.errors import ConcurrentDataLoaderError
from concurrent_dataloader._base.torch_private import CHECK_INTERVAL_S


class FetchCancelled(ConcurrentDataLoaderError):
    """The loader was shut down while this fetch was out."""


class Fetch:
    """One unit of work of the pool: an index, and later its value or its error.

    The first answer wins and later ones are dropped, so a fetch may be tried twice or given up at any moment, from any
    thread. One thread, the one that puts batches together, takes the answer, once.

    Attributes:
        index: What the dataset is asked for.
        size_bytes: Size of a large answer that waits to be taken; 0 for all others.
        is_direct: Whether the thread that waits for it is to do it itself.
    """

    __slots__ = ("_answered", "_claim", "_error", "_value", "index", "is_direct", "size_bytes")

    def __init__(self, index: Any) -> None:
        self.index = index
        self.size_bytes = 0
        self.is_direct = False
        self._claim = threading.Lock()  # taken by the first answer
        self._answered = threading.Lock()  # held until the answer is there
        self._answered.acquire()
        self._value: Any = None
        self._error: BaseException | None = None

    @property
    def is_claimed(self) -> bool:
        """Whether an answer was given, so that work on this fetch would be in vain."""
        return self._claim.locked()

    def settle(self, value: Any = None, error: BaseException | None = None) -> bool:
        """Gives the answer; returns False if there was one already."""
        if not self._claim.acquire(blocking=False):
            return False
        self._value, self._error = value, error
        self._answered.release()
        return True

    def take(self, while_waiting: Callable[[], None]) -> Any:
        """Waits for the answer and hands it over; what was fetched is no longer held here.

        Args:
            while_waiting: Called every 5 s of waiting (torch's check interval); may raise to end the wait.

        Raises:
            BaseException: Whatever the fetch raised.
            FetchCancelled: The loader was shut down.
        """
        while not self._answered.acquire(timeout=CHECK_INTERVAL_S):
            while_waiting()
        value, error = self._value, self._error
        self._value = self._error = None
        if error is None:
            return value
        try:
            raise error
        finally:
            del error  # the traceback holds this frame: without this the two would hold each other


class PendingBatch:
    """A batch that the sampler has asked for, from its arrival to the moment when its samples are handed on.

    Args:
        request: What the sampler gave: the indices of a batch, or one index without automatic batching.
    """

    __slots__ = ("error", "fetches", "request")

    def __init__(self, request: Any) -> None:
        self.request = request
        self.fetches: list[Fetch] = []
        self.error: BaseException | None = None  # the request itself was no good
