"""Peak memory of a loader's processes, as the kernel keeps it."""

from __future__ import annotations

import contextlib
import multiprocessing
from pathlib import Path

KIB_PER_MIB = 1024
LOOK_EVERY_S = 0.1  # a look costs some 20 us for each worker: nothing that shows in the CPU time


def peak_rss_mib(process: int | str = "self") -> float:
    """Returns the peak resident memory of a process; 0: it is gone.

    ``getrusage`` would not do. ``ru_maxrss`` counts what the parent had before an exec, and for children that of any
    child: importing torch starts one, which hides every smaller worker.
    """
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / KIB_PER_MIB
    return 0.0


class LargestWorker:
    """Looks at the worker processes now and then: when they are gone, so is what the kernel knew of them.

    Attributes:
        peak_mib: The largest peak seen so far; 0: no worker was seen.
    """

    def __init__(self) -> None:
        self.peak_mib = 0.0
        self._next_look_s = 0.0

    def look(self, now_s: float) -> None:
        """Looks, unless the last look is less than `LOOK_EVERY_S` ago; the time is in seconds on any clock from 0."""
        if now_s >= self._next_look_s:
            self._next_look_s = now_s + LOOK_EVERY_S
            peaks = (peak_rss_mib(worker.pid) for worker in multiprocessing.active_children() if worker.pid)
            self.peak_mib = max(self.peak_mib, *peaks, 0.0)
