"""Hands a new process its arguments without holding up the start of the next one."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from multiprocessing import reduction
from multiprocessing.context import get_spawning_popen
from typing import Any


def make_process(context: Any, target: Callable[..., None], args: tuple[Any, ...], **kwargs: Any) -> Any:
    """Returns a process of a multiprocessing context, not started yet, that calls the target.

    Under spawn and forkserver the arguments go to the child by a pipe, which takes 64 KiB: of more the parent cannot
    write the rest before the child has started its interpreter and imported all that comes before them, which with
    torch takes a second, and only then starts the next process. So they are put into a file without a name, in memory,
    where the system has such (Linux), and the child inherits its descriptor. Under fork nothing is pickled.
    """
    return context.Process(target=_call, args=(_HandedOver(target, args),), **kwargs)


class _HandedOver:
    """A call that is pickled as the descriptor of a file that holds it.

    Target and arguments are pickled together, as multiprocessing pickles them: what is shared between them stays so.
    """

    def __init__(self, target: Callable[..., None], args: tuple[Any, ...]) -> None:
        self.target, self.args = target, args

    def __reduce__(self) -> tuple[Any, ...]:
        if get_spawning_popen() is None or not hasattr(os, "memfd_create"):
            return _HandedOver, (self.target, self.args)
        pickled = reduction.ForkingPickler.dumps((self.target, self.args))
        descriptor = os.memfd_create("worker-arguments")
        weakref.finalize(self, os.close, descriptor)  # multiprocessing lets go of the arguments after the start
        with open(descriptor, "wb", closefd=False) as file:
            file.write(pickled)
        return _open, (reduction.DupFd(descriptor),)


def _open(descriptor: Any) -> _HandedOver:
    """Runs in the child."""
    with open(descriptor.detach(), "rb") as file:
        file.seek(0)  # the descriptors of both processes share one position
        return _HandedOver(*reduction.ForkingPickler.loads(file.read()))


def _call(handed_over: _HandedOver) -> None:
    handed_over.target(*handed_over.args)
