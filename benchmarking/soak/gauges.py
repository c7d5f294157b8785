"""What a process holds: threads, children, descriptors, shared memory, temporary files; after a run, as before it."""

from __future__ import annotations

import gc
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, fields

SHARED_MEMORY = "/dev/shm"  # Linux keeps shared memory there, and torch its segments
_LOOK_AGAIN_S = 0.05  # between two looks at what only the kernel can tell
_OF_A_HEAP = re.compile(r"/pym-\d+-")  # multiprocessing keeps its arena for shared numbers, as malloc keeps pages


@dataclass(frozen=True)
class Gauges:
    """What this process holds at one moment, by name; Linux only.

    Attributes:
        threads: Names of the live threads, numbered where several bear one name.
        children: Process ids of the children, dead ones that nobody has waited for included.
        descriptors: Open file descriptors and what they are, such as ``12 -> pipe:[4711]``.
        mapped: Shared memory that is mapped into this process, unlinked or not.
        segments: Files in ``/dev/shm`` of this process, its children and those that it once had.
        temporary_files: Entries of the folder for temporary files.
    """

    threads: frozenset[str]
    children: frozenset[str]
    descriptors: frozenset[str]
    mapped: frozenset[str]
    segments: frozenset[str]
    temporary_files: frozenset[str]

    @classmethod
    def read(cls, processes: Iterable[int] = ()) -> Gauges:
        """Reads them all.

        Args:
            processes: Children that may be gone by now, whose segments are still theirs.
        """
        children = _children()
        owners = {os.getpid(), *children, *processes}
        return cls(
            threads=frozenset(f"{thread.name} ({thread.ident})" for thread in threading.enumerate()),
            children=frozenset(map(str, children)),
            descriptors=frozenset(_descriptors()),
            mapped=frozenset(_mapped()),
            segments=frozenset(_segments(owners)),
            temporary_files=frozenset(os.listdir(tempfile.gettempdir())),
        )

    def surplus(self, before: Gauges) -> list[str]:
        """Returns what is held now and was not held before, in words."""
        return [
            f"{each.name}: {name}"
            for each in fields(self)
            for name in sorted(getattr(self, each.name) - getattr(before, each.name))
        ]


def leaks_since(before: Gauges, timeout_s: float = 10.0, processes: Iterable[int] = ()) -> list[str]:
    """Returns what is still held more than before, after the time that threads and processes need to end.

    Args:
        before: The gauges at the start.
        timeout_s: Longest wait in seconds; what is gone sooner ends it.
        processes: As for `Gauges.read`.
    """
    processes = tuple(processes)
    deadline_s = time.monotonic() + timeout_s
    while True:
        gc.collect()  # each time: what a thread has held until now may be part of a cycle
        surplus = Gauges.read(processes).surplus(before)
        if not surplus or time.monotonic() >= deadline_s:
            return surplus
        time.sleep(_LOOK_AGAIN_S)


def resident_bytes() -> int:
    """Returns the memory of this process that is in RAM and is its own: shared files and shared memory left out."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        _, resident, shared, *_ = statm.read().split()
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")


def _children() -> list[int]:
    found: list[int] = []
    for task in os.listdir("/proc/self/task"):  # a child belongs to the thread that forked it
        try:
            with open(f"/proc/self/task/{task}/children", encoding="ascii") as children:
                found += map(int, children.read().split())
        except FileNotFoundError:
            continue  # the thread has ended meanwhile
    return found


def _descriptors() -> Iterable[str]:
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            continue  # the descriptor of the listing itself
        if not target.startswith("/proc/") and not _OF_A_HEAP.search(target):
            yield f"{number} -> {target}"


def _mapped() -> Iterable[str]:
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            if SHARED_MEMORY in line and not _OF_A_HEAP.search(line):
                yield line.strip()


def _segments(owners: set[int]) -> Iterable[str]:
    for name in os.listdir(SHARED_MEMORY):
        if owners & set(map(int, re.findall(r"\d{2,}", name))):
            yield name
