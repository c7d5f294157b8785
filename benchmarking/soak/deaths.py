"""Kills a worker amid an epoch, judges what the loader says of it, and removes what a killed process cannot."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import random
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarking.soak.gauges import SHARED_MEMORY
from benchmarking.soak.tally import Tally

_NAMED = re.compile(r"\b(\d+) \(([^()]*)\)")
_TOLD = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\)")


class Deaths:
    """The deaths of one epoch.

    torch's handler of SIGCHLD raises wherever the main thread is. While this is entered, it does so within `told`
    alone: elsewhere it would hit the comparison of a batch that has come.

    Args:
        keys: Key of each sample.
        tally: Where to count.
    """

    def __init__(self, keys: list[str], tally: Tally) -> None:
        self._keys, self._tally = keys, tally
        self._handler: Any = None
        self._victims: list[int] = []

    def __enter__(self) -> Deaths:
        """Keeps torch's handler off."""
        self._handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Puts torch's handler back, and removes what only the victims knew of."""
        for pid in self._victims:
            for segment in Path(SHARED_MEMORY).glob(f"torch_{pid}_*"):
                segment.unlink()  # torch makes it, then unlinks it: a worker killed in between leaves it behind
                self._tally.counts["left_by_killed"] += 1
        signal.signal(signal.SIGCHLD, self._handler)

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Lets torch's handler raise in the block, as in a program that does nothing about it."""
        signal.signal(signal.SIGCHLD, self._handler)
        try:
            yield
        finally:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)

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


def remove_folders_of_the_killed(folder: str, most: int) -> int:
    """Removes the folders that workers who were killed have left, as workers of torch's own loader do.

    multiprocessing makes a folder for the socket by which a process hands its tensors on, and removes it at the exit.

    Args:
        folder: The folder for temporary files; no loader is in use any more.
        most: How many workers were killed, or may have been ended by force since one that was killed held a lock of
            theirs. What is left beyond so many folders is somebody's leak, and is left alone.

    Returns:
        How many it removed.
    """
    gc.collect()  # an error of a worker refers to its iterator, whose workers live, and use their folders, till then
    left = sorted(Path(folder).glob("pymp-*"))[:most]
    for each in left:
        shutil.rmtree(each)
    return len(left)
