"""Kills a worker amid an epoch, and judges what the loader says of it."""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import re
import signal
from pathlib import Path

from benchmarking.soak.gauges import SHARED_MEMORY
from benchmarking.soak.tally import Tally

_NAMED = re.compile(r"\b(\d+) \(([^()]*)\)")
_TOLD = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\)")


class Deaths:
    """The deaths of workers while one loader, and what it is replaced by after them, is in use.

    Args:
        keys: Key of each sample.
        tally: Where to count.
    """

    def __init__(self, keys: list[str], tally: Tally) -> None:
        self._keys, self._tally = keys, tally
        self._victims: list[int] = []

    def remove_segments(self) -> None:
        """Removes what only the victims knew of; no loader is in use any more."""
        gc.collect()  # an error of a worker refers to its iterator, whose workers live till then
        for pid in self._victims:
            for segment in Path(SHARED_MEMORY).glob(f"torch_{pid}_*"):
                segment.unlink()  # torch makes it, then unlinks it: a worker killed in between leaves it behind
                self._tally.counts["left_by_killed"] += 1

    def kill_a_worker(self, draw: random.Random) -> None:
        """Sends SIGKILL to one of this process's children, which are the workers of one loader."""
        workers = sorted(multiprocessing.active_children(), key=lambda worker: worker.pid or 0)
        pid = draw.choice(workers).pid if workers else None
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            self._victims.append(pid)
            self._tally.counts["kills"] += 1

    def is_told_by(self, error: Exception, rest: list[list[int]]) -> bool:
        """Returns whether an error is what is promised of a worker that was killed here; complains if not quite.

        Args:
            error: What was raised in a batch's place.
            rest: The batches that have not come, some of whose samples the error names, unless the worker owed none.
        """
        told = _TOLD.match(str(error))
        if not self._victims or not isinstance(error, RuntimeError) or told is None:
            return False
        named = [(int(index), key) for index, key in _NAMED.findall(str(error)[told.end() :])]
        owed = {(index, self._keys[index]) for asked in rest for index in asked}
        self._tally.errors["killed worker that owed" + ("" if named else " nothing")] += 1
        if not set(map(int, told[1].split(","))) <= set(self._victims):
            self._tally.complain("untold", f"{error}: killed were {self._victims}")
        elif not owed.issuperset(named):
            self._tally.complain("untold", f"{error}: what had not come were {rest}")
        return True
