"""Takes batches from the workers to the main process: descriptors by a socket, the rest by torch's queue.

A tensor travels as the descriptor of its shared memory. multiprocessing hands these on by a server: each worker has a
socket in a folder for temporary files and a thread behind it; for each tensor the main process connects, both prove who
they are, and the thread, which wants the interpreter as the fetches do, sends the descriptor. Here each worker has one
end of a pair of sockets from the start, and sends what belongs to a batch just before the batch. That is half the work
for the main process (docs/benchmarks.md), leaves no folder behind where a worker is killed, and gives the batch also if
its sender is dead by then.
"""

from __future__ import annotations

import errno
import io
import itertools
import logging
import mmap
import os
import queue
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import util
from multiprocessing.context import set_spawning_popen
from multiprocessing.reduction import ForkingPickler
from typing import Any, cast

import torch

from concurrent_dataloader._base import torch_private

logger = logging.getLogger(__name__)

_MOST_AT_ONCE = 250  # descriptors in one message; the kernel takes 253
_NUMBER_BYTES = 8
_PIPE_BYTES = 64 << 10  # what the pipe of a queue takes at once; more goes in shared memory, too

_offices: dict[int, PostOffice] = {}  # those of this process, by the number that is on their letters
_office_numbers = itertools.count()
_opened = threading.local()  # `descriptors` of the letter that a thread opens, by their place in it


@dataclass(frozen=True)
class PostBox:
    """A worker's end of its pair of sockets, to be handed to it when it starts.

    Attributes:
        office: Number of the `PostOffice` at the other end.
        worker: Number of the worker.
        end: The socket.
    """

    office: int
    worker: int
    end: socket.socket


class PostOffice:
    """The main process's ends of the pairs of one loader's workers.

    Args:
        workers: Their number.

    Attributes:
        boxes: What each worker is handed when it starts. None for all of them where the system has no such sockets
            (Linux has), or too many files are open.

    Shutdown:
        `close`, idempotent; a child that multiprocessing forks does so by itself. What was sent and not received is
        then freed by the system.
    """

    def __init__(self, workers: int) -> None:
        self._number = next(_office_numbers)
        self._ends: list[socket.socket] = []
        self.boxes: list[PostBox | None] = []
        try:
            for worker in range(workers):
                mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                self._ends.append(mine)
                self.boxes.append(PostBox(self._number, worker, its))
        except (OSError, AttributeError):  # the latter on Windows, which lacks the names
            self.close()
            self.close_boxes()
            self.boxes = [None] * workers
        _offices[self._number] = self
        util.register_after_fork(self, PostOffice.close)

    def close_boxes(self) -> None:
        """Closes this process's copies of the boxes, once each worker has its own."""
        for box in filter(None, self.boxes):
            box.end.close()

    def close(self) -> None:
        """Receives nothing more."""
        _offices.pop(self._number, None)
        for end in self._ends:
            end.close()

    def collect(self, worker: int, letter: int, count: int) -> dict[int, int]:
        """Returns the descriptors of a letter by their place in it; whoever takes one closes it.

        Raises:
            OSError: This process may not have so many files open.
        """
        collected: list[int] = []
        while len(collected) < count:
            number, received, flags, _ = socket.recv_fds(self._ends[worker], _NUMBER_BYTES, _MOST_AT_ONCE)
            if not number:
                raise ConnectionResetError(errno.ECONNRESET, "another process has received the tensors of a batch")
            if int.from_bytes(number, "big") != letter:
                _close(received)  # of a letter that could not be sent to the end, and went another way
                continue
            collected += received
            if flags & socket.MSG_CTRUNC or not received:
                _close(collected)
                raise OSError(errno.EMFILE, f"{os.strerror(errno.EMFILE)}: no room for the {count} tensors of a batch")
        return dict(enumerate(collected))


class MailedQueue:
    """torch's queue of batches as a worker sees it.

    A batch that cannot be pickled is answered with that error, where a queue prints it and drops the batch, for which
    the main process would then wait for ever.

    Args:
        queue: The queue.
        box: Takes the descriptors; None: they go multiprocessing's way.
        where: Names the worker in errors.
    """

    def __init__(self, queue: Any, box: PostBox | None, where: str) -> None:
        self._queue, self._box, self._where = queue, box, where
        self._letters = itertools.count()
        if box is not None:
            box.end.setblocking(False)

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
        try:
            body = _pickled(message, enclosed)
            is_large = len(body) > _PIPE_BYTES
            number = next(self._letters)
            try:
                if is_large:
                    enclosed.append(_in_memory(body))
                for at in range(0, len(enclosed), _MOST_AT_ONCE):
                    some = enclosed[at : at + _MOST_AT_ONCE]
                    socket.send_fds(self._box.end, [number.to_bytes(_NUMBER_BYTES, "big")], some)
            except ConnectionError:
                pass  # the main process has closed its end, or is gone: nobody will open the letter
            except OSError as error:
                logger.debug("a batch goes multiprocessing's way, since %s", error)
                return message  # the socket is full, or too many files are open: multiprocessing's way has room
            inline = None if is_large else bytes(body)
            return _Letter(self._box.office, self._box.worker, number, len(enclosed), inline)
        finally:
            _close(enclosed)


@dataclass(frozen=True)
class _Letter:
    """A message of torch's worker loop, which reading it from the queue gives again.

    Attributes:
        office: Number of the office that has its descriptors.
        worker: Number of the worker that has sent it.
        number: Its own, among those of this worker.
        descriptors: How many were sent for it.
        body: The pickled message; None: it is in the memory of the last descriptor.
    """

    office: int
    worker: int
    number: int
    descriptors: int
    body: bytes | None

    def __reduce__(self) -> tuple[Any, ...]:
        return _open, (self.office, self.worker, self.number, self.descriptors, self.body)


def _open(office: int, worker: int, number: int, descriptors: int, body: bytes | None) -> Any:
    """Runs in the main process; returns the message.

    Raises:
        queue.Empty: The office is closed. A thread that pins may still read then, and takes this for no message.
    """
    collected: dict[int, int] = {}
    if descriptors:
        try:
            collected = _offices[office].collect(worker, number, descriptors)
        except (KeyError, OSError):
            if office in _offices:
                raise
            raise queue.Empty from None
    outer = getattr(_opened, "descriptors", None)  # of a letter whose unpickling reads a loader of its own
    _opened.descriptors = collected
    try:
        if body is not None:
            return ForkingPickler.loads(body)
        with mmap.mmap(collected[descriptors - 1], 0, prot=mmap.PROT_READ) as memory:
            return ForkingPickler.loads(memory)
    finally:
        _opened.descriptors = outer
        _close(collected.values())


def _pickled(message: Any, enclosed: list[int]) -> memoryview:
    """Pickles as multiprocessing does, but leaves copies of the tensors' descriptors in the list."""
    buffer = io.BytesIO()
    pickler = ForkingPickler(buffer)
    storage, enclosure = torch.UntypedStorage, _Enclosure(enclosed)
    pickler.dispatch_table = {  # its own, not that of the class
        **pickler.dispatch_table,
        storage: enclosure.around(pickler.dispatch_table[storage]),
    }
    pickler.dump(message)
    return buffer.getbuffer()


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
        descriptor: int = _opened.descriptors.pop(self.place)
        return descriptor


def _in_memory(body: memoryview) -> int:
    descriptor = os.memfd_create("batch")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(body)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _close(descriptors: Any) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
