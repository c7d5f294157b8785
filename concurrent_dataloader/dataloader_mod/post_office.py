"""What comes from the workers besides their letters: descriptors, by a pair of sockets for each, and their memory."""

from __future__ import annotations

import errno
import itertools
import os
import queue
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing import util

import torch

from concurrent_dataloader.dataloader_mod.batch_memory import MappedMemory

_MOST_AT_ONCE = 250  # descriptors in one message; the kernel takes 253
_NUMBER_BYTES = 8

_offices: dict[int, PostOffice] = {}  # those of this process, by their numbers
_office_numbers = itertools.count()


@dataclass(frozen=True)
class PostBox:
    """A worker's end of its pair, to be handed to it when it starts.

    Attributes:
        office: Number of the `PostOffice` at the other end.
        place: Number of the pair among those of the office.
        end: The socket.
    """

    office: int
    place: int
    end: socket.socket

    def send(self, letter: int, descriptors: list[int]) -> None:
        """Sends the descriptors of a letter.

        Raises:
            ConnectionError: The office is closed, or its process is gone.
            OSError: The socket is full, or too many descriptors are on their way.
        """
        for at in range(0, len(descriptors), _MOST_AT_ONCE):
            number = letter.to_bytes(_NUMBER_BYTES, "big")
            socket.send_fds(self.end, [number], descriptors[at : at + _MOST_AT_ONCE])


class PostOffice:
    """The main process's ends of the pairs of one loader's workers, and the memory that these share with it.

    Shutdown:
        `close`, idempotent; a child that multiprocessing forks does so by itself. What was sent and not received is
        then freed by the system.
    """

    def __init__(self) -> None:
        self._number = next(_office_numbers)
        self._ends: list[socket.socket] = []
        self._box: PostBox | None = None
        self.memory = MappedMemory()
        _offices[self._number] = self
        util.register_after_fork(self, PostOffice.close)

    def open_box(self) -> PostBox | None:
        """Returns what the next worker is to be handed, after closing this process's copy of the one before.

        None where the system has no such sockets (Linux has), or too many files are open.
        """
        self.close_box()
        try:
            mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except (OSError, AttributeError):  # the latter on Windows, which lacks the names
            return None
        its.setblocking(False)
        self._ends.append(mine)
        self._box = PostBox(self._number, len(self._ends) - 1, its)
        return self._box

    def close_box(self) -> None:
        """Closes this process's copy of the box that was opened last: its worker has started, and has its own."""
        if self._box is not None:
            self._box.end.close()
            self._box = None

    def close(self) -> None:
        """Receives nothing more."""
        _offices.pop(self._number, None)
        for end in self._ends:
            end.close()
        self.memory.close()

    def collect(self, place: int, letter: int, count: int) -> dict[int, int]:
        """Returns the descriptors of a letter by their place in it; whoever takes one closes it.

        Raises:
            OSError: This process may not have so many files open.
        """
        collected: list[int] = []
        while len(collected) < count:
            number, received, flags, _ = socket.recv_fds(self._ends[place], _NUMBER_BYTES, _MOST_AT_ONCE)
            if not number:
                raise ConnectionResetError(errno.ECONNRESET, "another process has received the tensors of a batch")
            if int.from_bytes(number, "big") != letter:
                close_all(received)  # of a letter that could not be sent to the end, and went another way
                continue
            collected += received
            if flags & socket.MSG_CTRUNC or not received:
                close_all(collected)
                raise OSError(errno.EMFILE, f"{os.strerror(errno.EMFILE)}: no room for the {count} tensors of a batch")
        return dict(enumerate(collected))


def collect(office: int, place: int, letter: int, count: int) -> dict[int, int]:
    """Returns the descriptors of a letter, as `PostOffice.collect`, by the number of the office.

    Raises:
        OSError: See there.
        queue.Empty: The office is closed. A thread that pins may still read then, and takes this for no message.
    """
    try:
        return _offices[office].collect(place, letter, count)
    except (KeyError, OSError):
        if office in _offices:
            raise
        raise queue.Empty from None


def mapped(office: int, worker: int, place: int, size_bytes: int, descriptor: int | None) -> torch.UntypedStorage:
    """Returns what a worker has put in its memory, as `MappedMemory.storage`, by the number of the office.

    Raises:
        OSError: See there.
        queue.Empty: As `collect`.
    """
    try:
        return _offices[office].memory.storage(worker, place, size_bytes, descriptor)
    except KeyError:
        if office in _offices:
            raise
        raise queue.Empty from None


def close_all(descriptors: Iterable[int]) -> None:
    """Closes descriptors."""
    for descriptor in descriptors:
        os.close(descriptor)
