"""Batches that a worker may fetch, but not process, until torch's loader would have sent them.

What a worker's generators give after an early ``break`` depends on how many batches it has processed. Workers that live
on are therefore to process no batch that torch would not have sent by then, however many they fetch ahead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Held:
    """A request whose samples are to be fetched only; the bare number of its batch, sent later, sets it free."""

    request: Any


class HeldBatches:
    """Decides which of the batches that are sent are held, and when each is set free.

    Args:
        ahead: Batches beyond those received that torch would have out; None: none is held.
    """

    def __init__(self, ahead: int | None) -> None:
        self._ahead = ahead
        self._held: deque[int] = deque()

    @classmethod
    def of(cls, loader: Any) -> HeldBatches:
        """Returns what a loader needs: batches that are given as they come (``in_order=False``) are torch's in no way,
        and workers of a single epoch draw nothing after it."""
        holds = loader.persistent_workers and loader.in_order
        return cls(loader.prefetch_factor * loader.num_workers if holds else None)

    def wrap(self, number: int, request: Any, received: int) -> Any:
        """Returns what is sent as the batch of this number once so many were received: the request, held or not."""
        if self._ahead is None or number < received + self._ahead:
            return request
        self._held.append(number)
        return Held(request)

    def freed(self, received: int) -> Iterator[int]:
        """Yields the numbers of the held batches that torch would have sent by now.

        Each comes once, but again where a Ctrl-C ended the use of the last one: told twice is better than never.
        """
        while self._ahead is not None and self._held and self._held[0] < received + self._ahead:
            yield self._held[0]
            self._held.popleft()

    def clear(self) -> None:
        """Forgets what is held: the workers drop it as they begin the next epoch."""
        self._held.clear()
