"""A value that each process builds for itself: clients, pools and counters that must not cross a fork or a pickle."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_generation = 0  # forks between the first process and this one: never repeats along a line of processes, unlike a pid


def _enter_child() -> None:
    global _generation
    _generation += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_enter_child)


def generation() -> int:
    """Returns how many forks lie between the first process of this line and the running one."""
    return _generation


class ProcessLocal(Generic[T]):
    """A value that is built on first use, once per process, and left behind on fork and on pickling.

    A forked child starts with a slot and a lock of its own, so a lock that another thread of the parent held at that
    moment cannot block it. The parent's value stays referenced in the child, because closing a client there could shut
    down a connection or a runtime that the parent still uses.

    Args:
        build: Makes the value. It runs under a lock; where it raises, the next call tries again.
    """

    def __init__(self, build: Callable[[], T]) -> None:
        self._build = build
        self._slots: dict[int, _Slot[T]] = {}

    def get(self) -> T:
        """Returns this process's value, building it if need be; all threads get the same one."""
        slot = self._slots.get(_generation)
        if slot is None:
            slot = self._slots.setdefault(_generation, _Slot())
        if not slot.values:
            with slot.lock:
                if not slot.values:
                    slot.values.append(self._build())
        return slot.values[0]

    def replace(self, value: T) -> None:
        """Makes a value this process's from now on; who has got the old one keeps it."""
        with self._slots.setdefault(_generation, _Slot()).lock:
            self._slots[_generation].values[:] = [value]

    def peek(self) -> T | None:
        """Returns this process's value if it has been built, else None."""
        slot = self._slots.get(_generation)
        return slot.values[0] if slot is not None and slot.values else None

    def __reduce__(self) -> tuple[type[ProcessLocal[T]], tuple[Callable[[], T]]]:
        return ProcessLocal, (self._build,)


class _Slot(Generic[T]):
    __slots__ = ("lock", "values")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.values: list[T] = []  # none or one: None may be a value
