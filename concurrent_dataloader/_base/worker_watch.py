"""Notices the end of worker processes by their sentinels, at the moments at which the loader waits for them.

torch's handler of SIGCHLD raises wherever the main thread stands: within a close, a finalizer or the opening of a file,
which are then left half done. What is noticed here is raised by the call for the next batch alone.
"""

from __future__ import annotations

import os
import queue
import select
import signal
import time
import weakref
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

_REAP_S = 1.0  # for what a process does between closing its sentinel, with all its files, and being dead
_LOOK_AGAIN_S = 0.001  # between two looks whether it is
_BUS_ERROR = getattr(signal, "SIGBUS", None)  # what a write to shared memory gives for which there is no room
_DEATH = "DataLoader worker (pid"
_PATIENCE_MS = 1000  # with a message that stops amid, beside a dead worker: it may be a live one's


class WorkerWatch:
    """Watches workers until each has ended.

    Args:
        workers: Processes that have been started.
    """

    def __init__(self, workers: Sequence[BaseProcess]) -> None:
        self._watched = {worker.sentinel: worker for worker in workers}

    def ended(self, timeout_s: float, pipes: Sequence[Connection] = ()) -> list[BaseProcess]:
        """Waits until a worker has ended, or a pipe can be read, and returns the workers that have ended since the last
        call, in the order of their numbers.

        Args:
            timeout_s: Longest wait in seconds.
            pipes: A pipe that can be read ends the wait, too.
        """
        ready = set(wait([*pipes, *self._watched], timeout_s))
        # Taken off the watch either way: the sentinel of a worker that has closed all its descriptors tells no more.
        closed = [self._watched.pop(sentinel) for sentinel in list(self._watched) if sentinel in ready]
        ends_s = time.monotonic() + _REAP_S
        # Not by join, which takes a closed sentinel for an end, and then waits without its time-out.
        while any(worker.is_alive() for worker in closed) and time.monotonic() < ends_s:
            time.sleep(_LOOK_AGAIN_S)
        return [worker for worker in closed if not worker.is_alive()]

    def guard(self, pipe: Connection) -> Connection:
        """Makes reading from a pipe raise `queue.Empty` once a worker has ended and nothing more comes; returns it.

        A worker that is killed amid a message of more than a pipe holds leaves it unfinished. The other workers hold
        the pipe open, but cannot write: the dead one has their lock. Who reads would wait for ever.
        """
        if not hasattr(select, "poll"):  # Windows, whose pipes read otherwise
            return pipe
        more, more_or_end = _poll_of([pipe.fileno()]), _poll_of([pipe.fileno(), *self._watched])
        kind, held = type(pipe), weakref.ref(pipe)

        def read(handle: int, size: int) -> bytes:
            if handle not in dict(more_or_end.poll()) and not more.poll(_PATIENCE_MS):
                raise queue.Empty
            return os.read(handle, size)

        def receive(size: int) -> Any:
            return kind._recv(held(), size, read)  # type: ignore[attr-defined]  # of all versions since Python 3.3

        pipe._recv = receive  # type: ignore[attr-defined]
        return pipe


def _poll_of(handles: Sequence[int]) -> Any:
    poll = select.poll()
    for handle in handles:
        poll.register(handle, select.POLLIN)
    return poll


def free_lock_of_the_dead(results: Any) -> None:
    """Frees the lock under which the workers write to their queue, if one that was killed has taken it along.

    To be called when a worker is dead and nothing has come for a while. A live worker writes for microseconds, or waits
    for room in the pipe, which then is not empty.
    """
    lock = results._wlock  # of all versions since Python 3.3; None on Windows
    if lock is not None and (lock.acquire(timeout=_REAP_S) or results.empty()):
        lock.release()


def free_event_of_the_dead(done: Any) -> None:
    """Frees the lock within an event that the workers ask, if one that was killed has taken it along.

    To be called when a worker is dead, before the event is asked or set. A live worker holds the lock for microseconds;
    even if it is stopped meanwhile, it does no more than look at the event.
    """
    lock = done._cond._lock  # of all versions since Python 3.3
    lock.acquire(timeout=_REAP_S)
    lock.release()


def describe_ends(workers: Sequence[BaseProcess]) -> str:
    """Says of workers that have ended how they did, in words that scripts look for in torch's errors."""
    if len(workers) > 1:
        pids = ", ".join(str(worker.pid) for worker in workers)
        return f"{_DEATH}(s) {pids}) exited unexpectedly"
    (worker,) = workers
    name = f"{_DEATH} {worker.pid})"
    code = worker.exitcode or 0
    if code >= 0:
        return f"{name} exited unexpectedly with exit code {code}"
    text = f"{name} is killed by signal: {signal.strsignal(-code)}"
    return f"{text} (is /dev/shm, the shared memory, full?)" if -code == _BUS_ERROR else text


def tells_of_a_death(error: RuntimeError) -> bool:
    """Whether an error is one of those that `describe_ends` words, or torch in its own code."""
    return str(error).startswith(_DEATH)
