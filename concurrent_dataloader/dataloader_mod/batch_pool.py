"""How many batches of each worker are out at once, where the user has not said it.

Batches are given in order, so one slow sample holds back all that follow it, and what the workers can do meanwhile is
bounded by the batches that they have been asked for. Two of them, torch's default, are plenty where samples are
decoded, and far too few where 10,000 small objects a second are read. So the number grows while it is the limit.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from concurrent_dataloader.dataloader_mod.dispatch import MAX_AUTO_BYTES
from concurrent_dataloader.dataloader_mod.stats import WorkerStats

MOST_BATCHES = 16
"""Batches of one worker at the most. 12,000 samples/s with slow requests sent again after 80 ms take 8 of 64 samples in
each of two workers; above 16 nothing was gained (benchmarking.adaptive)."""

_LIMITS = 0.2  # of the time, or of the fetches: from this share on something is a limit
_HARDLY = 0.05  # below this share of the time the caller does not wait: the workers are fast enough
_SHM_PART = 4  # this part of the free shared memory, through which batches travel, may be taken
_SHM_UNKNOWN_BYTES = 64 << 20  # bytes; what a container has where nobody has asked for more


@dataclass(frozen=True)
class _Known:
    """What was known at the last decision."""

    at_s: float
    batches: int
    caller_wait_s: float
    total: WorkerStats


class BatchPool:
    """Decides how many batches of each worker are to be out. Pure: nothing here waits or reads a clock.

    The number rises by half when, over as many batches as are out, the caller waited, the workers waited for the store,
    and fetches ended with no other left to start. It falls by a quarter when the caller did not wait: batches that are
    ready and that nobody takes are only memory.

    Args:
        first: The number at the beginning, below which it never falls.
        workers: Worker processes.
        room_bytes: Bytes that the batches of all workers may take together; above, the number does not rise.
    """

    def __init__(self, first: int, workers: int, room_bytes: int) -> None:
        self._first, self._workers, self._room_bytes = first, workers, room_bytes
        self._known: _Known | None = None
        self.size = first
        """Batches of one worker that are to be out now."""

    def is_due(self, batches: int) -> bool:
        """Whether enough batches have been received in all for another `decide`."""
        return self._known is None or batches - self._known.batches >= self.size * self._workers

    def decide(self, now_s: float, batches: int, caller_wait_s: float, total: WorkerStats, batch_bytes: int) -> None:
        """Sets `size` anew.

        Args:
            now_s: Monotonic clock in seconds.
            batches: Batches received so far.
            caller_wait_s: Seconds that the caller has waited for them.
            total: The counts of all workers.
            batch_bytes: What a batch takes in memory, in bytes.
        """
        before, self._known = self._known, _Known(now_s, batches, caller_wait_s, total)
        if before is None or now_s <= before.at_s:
            return
        elapsed_s = now_s - before.at_s
        waits = (caller_wait_s - before.caller_wait_s) / elapsed_s
        if waits >= _LIMITS and self._is_the_limit(before.total, total, elapsed_s):
            larger = min(max(MOST_BATCHES, self._first), self.size + max(1, self.size // 2))
            if larger * self._workers * batch_bytes <= self._room_bytes:
                self.size = larger
        elif waits < _HARDLY:
            self.size = max(self._first, self.size - max(1, self.size // 4))

    def _is_the_limit(self, before: WorkerStats, total: WorkerStats, elapsed_s: float) -> bool:
        """Whether the workers waited for the store although they could have fetched more."""
        waited = (total.wait_s - before.wait_s) / (elapsed_s * self._workers)
        starved = (total.starved - before.starved) / max(1, total.fetches - before.fetches)
        return waited >= _LIMITS and starved >= _LIMITS


def room_bytes() -> int:
    """Returns the bytes that batches may take on their way through shared memory, all workers together."""
    try:
        free_bytes = shutil.disk_usage("/dev/shm").free
    except OSError:  # no Linux
        free_bytes = _SHM_UNKNOWN_BYTES
    return min(MAX_AUTO_BYTES, free_bytes // _SHM_PART)
