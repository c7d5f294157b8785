"""Takes batches from the workers to the main process: descriptors by a socket, the rest by torch's queue.

What torch's collation has made is in memory that both processes share for long (batch_memory.py), and takes a few bytes
to be told. Any other tensor travels as the descriptor of its shared memory. multiprocessing hands these on by a server:
each worker has a socket in a folder for temporary files and a thread behind it; for each tensor the main process
connects, both prove who they are, and the thread, which wants the interpreter as the fetches do, sends the descriptor.
Here each worker has one end of a pair of sockets from the start (post_office.py), and sends what belongs to a batch
just before the batch. That is less work for both (docs/decisions/2026-11-25-batches-by-mail.md), leaves no folder where
a worker is killed, and gives the batch also if its sender is dead by then.
"""

from __future__ import annotations

import io
import itertools
import logging
import mmap
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import set_spawning_popen
from multiprocessing.reduction import ForkingPickler
from typing import Any, cast

import torch

from concurrent_dataloader._base import torch_private
from concurrent_dataloader.dataloader_mod.batch_memory import BatchMemory
from concurrent_dataloader.dataloader_mod.post_office import PostBox, close_all, collect, mapped

logger = logging.getLogger(__name__)

# More goes in shared memory, too: a page (PIPE_BUF), with the letter's own 200 bytes, is written to a pipe whole or not
# at all, so that a worker that is killed or stopped amid a message leaves no half of one there.
_PIPE_BYTES = 3584

_opened = threading.local()  # `letter` that a thread opens


class MailedQueue:
    """torch's queue of batches as a worker sees it.

    A batch that cannot be pickled is answered with that error, where a queue prints it and drops the batch, for which
    the main process would then wait for ever.

    Args:
        results: The queue.
        box: Takes the descriptors; None: they go multiprocessing's way.
        memory: Where collation puts its tensors.
        where: Names the worker in errors.
    """

    def __init__(self, results: Any, box: PostBox | None, memory: BatchMemory, where: str) -> None:
        self._queue, self._box, self._memory, self._where = results, box, memory, where
        self._letters = itertools.count()

    def put(self, message: Any) -> None:
        """Sends one of the messages of torch's worker loop."""
        try:
            self._queue.put(self._posted(message))
        except Exception as error:  # pickling runs the user's code, and the main process waits for an answer
            if not isinstance(message, tuple):
                raise
            plain = RuntimeError(f"the batch cannot be sent to the main process: {error!r}")
            self._queue.put((message[0], torch_private.wrap_exception(plain, self._where)))

    def cancel_join_thread(self) -> None:
        """Lets the process end though nobody has read what was put."""
        self._queue.cancel_join_thread()

    def close(self) -> None:
        """Puts nothing more."""
        self._queue.close()

    def _posted(self, message: Any) -> Any:
        """Sends the descriptors of a message, and returns what goes through the queue for it."""
        if self._box is None:
            return _Letter(0, 0, 0, 0, bytes(ForkingPickler.dumps(message)))
        enclosed: list[int] = []
        is_sent = False
        try:
            body = _pickled(message, enclosed, self._memory)
            is_large = len(body) > _PIPE_BYTES
            number = next(self._letters)
            try:
                if is_large:
                    enclosed.append(_in_memory(body))
                self._box.send(number, enclosed)
            except ConnectionError:
                pass  # the main process has closed its end, or is gone: nobody will open the letter
            except OSError as error:
                logger.debug("a batch goes multiprocessing's way, since %s", error)
                return message  # the socket is full, or too many files are open: multiprocessing's way has room
            inline = None if is_large else bytes(body)
            is_sent = True
            return _Letter(self._box.office, self._box.place, number, len(enclosed), inline)
        finally:
            close_all(enclosed)
            self._memory.end_letter(is_sent)


@dataclass(frozen=True)
class _Letter:
    """A message of torch's worker loop, which reading it from the queue gives again.

    Attributes:
        office: Number of the office that has its descriptors.
        place: Number of the pair of sockets in the office.
        number: Its own, among those that came by this pair.
        descriptors: How many were sent for it.
        body: The pickled message; None: it is in the memory of the last descriptor.
    """

    office: int
    place: int
    number: int
    descriptors: int
    body: bytes | None

    def __reduce__(self) -> tuple[Any, ...]:
        return _open, (self.office, self.place, self.number, self.descriptors, self.body)


@dataclass(frozen=True)
class _OpenLetter:
    """What the parts of a letter need while it is opened.

    Attributes:
        office: Number of its office.
        place: Number of its pair of sockets there.
        descriptors: What was sent for it, by place; whoever takes one out closes it.
    """

    office: int
    place: int
    descriptors: dict[int, int]


def _open(office: int, place: int, number: int, descriptors: int, body: bytes | None) -> Any:
    """Runs in the main process; returns the message."""
    collected = collect(office, place, number, descriptors) if descriptors else {}
    outer = getattr(_opened, "letter", None)  # one whose unpickling reads a loader of its own
    _opened.letter = _OpenLetter(office, place, collected)
    try:
        if body is not None:
            return ForkingPickler.loads(body)
        with mmap.mmap(collected[descriptors - 1], 0, prot=mmap.PROT_READ) as memory:
            return ForkingPickler.loads(memory)
    finally:
        _opened.letter = outer
        close_all(collected.values())


def _pickled(message: Any, enclosed: list[int], memory: BatchMemory) -> memoryview:
    """Pickles as multiprocessing does, but leaves copies of the tensors' descriptors in the list."""
    buffer = io.BytesIO()
    pickler = ForkingPickler(buffer)
    storage, enclosure = torch.UntypedStorage, _Enclosure(enclosed)
    torchs_way = enclosure.around(pickler.dispatch_table[storage])

    def reduce(shared: Any) -> Any:
        found = memory.enclose(shared, enclosed)
        return torchs_way(shared) if found is None else (_from_memory, found)

    pickler.dispatch_table = {**pickler.dispatch_table, storage: reduce}  # its own, not that of the class
    pickler.dump(message)
    return buffer.getbuffer()


def _from_memory(place: int, size_bytes: int, enclosed: int | None) -> torch.UntypedStorage:
    """Runs in the main process while the letter is opened."""
    letter = _opened.letter
    descriptor = None if enclosed is None else letter.descriptors[enclosed]
    return mapped(letter.office, letter.place, place, size_bytes, descriptor)


class _Enclosure:
    """Stands where multiprocessing has the process that is being spawned, while torch shares a tensor's memory.

    This is how multiprocessing itself hands descriptors to a process that it starts: torch asks who is being spawned,
    and gives it its own. Around more than that it must not stand: locks, queues and keys refuse to be in a batch, the
    user's ``__reduce__`` may start a process, and what it pickles by itself may be read at any time.
    """

    def __init__(self, descriptors: list[int]) -> None:
        self.descriptors = descriptors

    def around(self, reduce: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Returns a reducer that gives its descriptors to this enclosure."""

        def enclosing(shared: Any) -> Any:
            set_spawning_popen(cast(Any, self))
            try:
                return reduce(shared)
            finally:
                set_spawning_popen(None)

        return enclosing

    def duplicate_for_child(self, descriptor: int) -> int:
        self.descriptors.append(os.dup(descriptor))  # what it belongs to may be gone once all is pickled
        return len(self.descriptors) - 1

    DupFd = staticmethod(lambda place: _Enclosed(place))


@dataclass(frozen=True)
class _Enclosed:
    """A descriptor in a letter, by its place."""

    place: int

    def detach(self) -> int:
        """Runs in the main process while the letter is opened; the caller closes the descriptor."""
        descriptor: int = _opened.letter.descriptors.pop(self.place)
        return descriptor


def _in_memory(body: memoryview) -> int:
    descriptor = os.memfd_create("batch")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(body)
    except BaseException:  # whatever it is, nobody else knows the descriptor
        os.close(descriptor)
        raise
    return descriptor
