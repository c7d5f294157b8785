"""Batches that a worker may fetch, but not process, until torch's loader would have sent them.

What a worker's generators give after an early ``break`` depends on how many batches it has processed. Workers that live
on are therefore to process no batch that torch would not have sent by then, however many they fetch ahead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
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
        """Returns what a loader needs: where several workers' batches come as they are ready (``in_order=False``), none
        is torch's, and workers of a single epoch draw nothing after it."""
        holds = loader.persistent_workers and (loader.in_order or loader.num_workers == 1)
        return cls(loader.prefetch_factor * loader.num_workers if holds else None)

    def wrap(self, number: int, request: Any, received: int) -> Any:
        """Returns what is sent as the batch of this number once so many were received: the request, held or not."""
        if number == 0:
            self._held.clear()  # of the epoch before: the workers drop what they hold as they begin this one
        if self._ahead is None or (number < received + self._ahead and not self._held):
            return request
        self._held.append(number)
        return Held(request)

    def free(self, received: int, tasks: Mapping[int, tuple[Any, ...]], queues: Sequence[Any]) -> None:
        """Sends the workers the numbers of the held batches that torch would have sent them by now.

        A number is sent once, but again where a Ctrl-C ended this amid it: told twice is better than never.

        Args:
            received: Batches received so far.
            tasks: Begins with the worker, by the number of each batch that is out.
            queues: Where each worker is told.
        """
        while self._ahead is not None and self._held and self._held[0] < received + self._ahead:
            number = self._held[0]
            if number in tasks:  # else it was passed over, since its worker is dead
                queues[tasks[number][0]].put(number)
            self._held.popleft()
