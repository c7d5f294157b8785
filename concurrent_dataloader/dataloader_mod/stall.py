"""Speaks up when no sample has come for a long time: which fetches are out, and what the threads are doing."""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable

logger = logging.getLogger(__name__)

_MOST_FETCHES = 10  # named in a message; the oldest are the ones that hold up the others
_MOST_STACKS = 5  # different stacks shown; most threads of a pool stand in the same place


class StallWatch:
    """Knows since when the reading thread has waited, or worked, for one sample.

    Args:
        timeout_s: Seconds without a sample that are worth a warning; None: nothing is.
        describe_fetches: Names what is in flight, oldest first.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        timeout_s: float | None,
        describe_fetches: Callable[[], Iterable[str]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timeout_s, self._describe_fetches, self._clock = timeout_s, describe_fetches, clock
        self._since_s: float | None = None
        self._warned = 0  # warnings of the stall at hand

    def progress(self, now_s: float) -> None:
        """The reading thread has got a sample, or begins to wait for one."""
        self._since_s = now_s
        self._warned = 0

    def rest(self) -> None:
        """The reading thread has what it was asked for."""
        self._since_s = None

    def check(self) -> None:
        """Warns if the time is up, and again each time that it has passed once more; called by another thread."""
        since_s = self._since_s
        if since_s is None or self._timeout_s is None:
            return
        age_s = self._clock() - since_s
        if age_s >= (self._warned + 1) * self._timeout_s:
            self._warned += 1
            logger.warning("%s", self._message(age_s))

    def _message(self, age_s: float) -> str:
        fetches = list(self._describe_fetches())
        lines = [f"no sample for {age_s:.0f} s (stall_timeout={self._timeout_s:g}); {len(fetches)} fetches in flight"]
        lines += [f"  {each}" for each in fetches[:_MOST_FETCHES]]
        if len(fetches) > _MOST_FETCHES:
            lines.append(f"  and {len(fetches) - _MOST_FETCHES} more")
        return "\n".join([*lines, *_stacks()])


def _stacks() -> list[str]:
    """The stacks of this process's threads, those that stand in the same place together; without any value."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    places: dict[str, list[str]] = defaultdict(list)
    for ident, frame in sys._current_frames().items():
        if ident != threading.get_ident():
            places["".join(traceback.format_stack(frame))].append(names.get(ident, str(ident)))
    busiest = sorted(places.items(), key=lambda place: "MainThread" not in place[1])[:_MOST_STACKS]
    return [f"  {_together(threads)}:\n{stack.rstrip()}" for stack, threads in busiest]


def _together(threads: list[str]) -> str:
    return threads[0] if len(threads) == 1 else f"{threads[0]} and {len(threads) - 1} others"
