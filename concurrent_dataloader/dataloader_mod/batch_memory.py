"""Shared memory for batches that is written again once the main process is done with it.

New shared memory is dear: every 4 KB of it is cleared, and costs both processes a page fault. A worker therefore keeps
a few pieces (`BatchMemory`) in which torch's collation puts batches in turn. The main process keeps them mapped
(`MappedMemory`), and a piece is free again when the last tensor on it is gone there. What tells the worker is a byte in
the piece itself.

A piece holds one batch's tensor at a time, and is written only where nobody can be looking:

- The worker has let go of the tensor, and sends a tensor only once by this way; what it sends twice goes torch's way.
- The storages here are no shared ones for torch: what the caller hands to another process is copied as any tensor is.
- A process forked by either inherits the tensors that are alive just then. Their pieces are never written again.

The pieces have no name and no place in a file system: they are not limited by the size of ``/dev/shm``, and are gone
with their processes, however these end.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from concurrent_dataloader._base import torch_private

_HEADER_BYTES = mmap.PAGESIZE  # whose first byte is the state; what follows is aligned as tensors like it
_FREE, _IN_USE, _GIVEN_UP = 0, 1, 2
_BATCHES = 8  # whose tensors a worker keeps; what is under way beyond that goes torch's way
_MOST = 512  # pieces of a worker


class Piece:
    """A piece of shared memory, as one of the two processes maps it.

    Args:
        descriptor: Of the memory; stays the caller's.

    Raises:
        OSError: The system maps no more.
    """

    def __init__(self, descriptor: int) -> None:
        self._memory = _mapped(descriptor)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._holder: Callable[[], memoryview | None] = lambda: None
        self.size_bytes = len(self._memory) - _HEADER_BYTES

    @property
    def state(self) -> int:
        """Free, in use by the main process, or given up."""
        return _GIVEN_UP if self._memory[1] else self._memory[0]

    def take(self) -> None:
        """Marks it as in use by the main process."""
        self._memory[0] = _IN_USE

    def give_up(self) -> None:
        """Has it never be written again."""
        self._memory[1] = 1  # a byte of its own, that nothing resets: the other process may just be setting it free

    def forget_holder(self) -> None:
        """In a forked process: what dies here sets nothing free."""
        self._holder = lambda: None

    @property
    def is_held(self) -> bool:
        """Whether a tensor of this process is on it."""
        return self._holder() is not None

    def storage(self, size_bytes: int) -> torch.UntypedStorage:
        """Returns a storage on its first bytes, for the worker."""
        return self._storage(size_bytes, None)

    def lend(self, size_bytes: int) -> torch.UntypedStorage:
        """Returns a storage on its first bytes, for the main process: when the last tensor is gone, it is free."""
        storage = self._storage(size_bytes, functools.partial(_memset(), self._address, _FREE, 1))
        if _forking:
            self.give_up()
        return storage

    def clear(self) -> None:
        """Gives its memory back to the system, and keeps its address."""
        _libc().madvise(self._address + _HEADER_BYTES, self.size_bytes, mmap.MADV_REMOVE)

    def _storage(self, size_bytes: int, on_end: Callable[[Any], None] | None) -> torch.UntypedStorage:
        holder = self._memory[_HEADER_BYTES : _HEADER_BYTES + size_bytes]
        self._holder = weakref.ref(holder, on_end)
        storage = torch.frombuffer(holder, dtype=torch.uint8).untyped_storage()
        # torch moves a storage's data when it is shared (`share_memory_`, or sent to a process), and lets go of ours.
        # An array of NumPy still looks at it then, and keeps the storage alive but not its data.
        storage.holder = holder  # type: ignore[attr-defined]
        return storage


class BatchMemory:
    """The pieces of a worker process, for the thread that collates and sends."""

    def __init__(self) -> None:
        self._pieces: list[Piece] = []
        self._descriptors: dict[int, int] = {}  # of pieces that the main process does not know yet, by place
        self._places: dict[int, int] = {}  # by the address of the data
        self._unsent: set[int] = set()  # places of what was handed out and not enclosed since
        self._enclosed: list[int] = []  # places in the letter that is being written
        self._asked, self._most = 0, _BATCHES
        self._active = threading.local()
        _memories[id(self)] = self

    def pieces(self) -> list[Piece]:
        """Returns those known now."""
        return list(self._pieces)

    @contextmanager
    def collating(self) -> Iterator[None]:
        """While it is entered, `allocate` serves this thread."""
        self._active.process, self._asked = os.getpid(), 0
        try:
            yield
        finally:
            self._active.process = None

    def allocate(self, size_bytes: int) -> torch.UntypedStorage | None:
        """Returns a storage on shared memory, not cleared; None where torch is to make it."""
        collates = getattr(self._active, "process", None) == os.getpid()  # the pieces are not those of a forked process
        if not (size_bytes and collates and torch_private.shares_descriptors()):
            return None
        self._asked += 1
        self._most = min(max(self._most, _BATCHES * self._asked), _MOST)
        place = self._free_place(size_bytes)
        if place is None:
            return None
        storage = self._pieces[place].storage(size_bytes)
        self._places[storage.data_ptr()] = place
        self._unsent.add(place)
        return storage

    def enclose(self, storage: torch.UntypedStorage, descriptors: list[int]) -> tuple[int, int, int | None] | None:
        """Puts a storage in the letter that is being written: from now on the main process uses it.

        Args:
            storage: Any storage.
            descriptors: Those of the letter, to which that of a piece is added where the main process has none.

        Returns:
            The place of the piece, the storage's size in bytes and where in ``descriptors`` the piece's is; None if the
            storage is on no piece, or was sent before.
        """
        place = self._places.get(storage.data_ptr()) if storage.device.type == "cpu" else None
        if place is None or place not in self._unsent:
            return None
        self._unsent.remove(place)
        self._enclosed.append(place)
        self._pieces[place].take()
        descriptor = self._descriptors.pop(place, None)
        if descriptor is None:
            return place, storage.nbytes(), None
        descriptors.append(descriptor)
        return place, storage.nbytes(), len(descriptors) - 1

    def end_letter(self, is_sent: bool) -> None:
        """Ends the letter; of one that was not sent, no piece is used again."""
        if not is_sent:
            for place in self._enclosed:
                self._pieces[place].give_up()
        self._enclosed = []

    def clear(self) -> None:
        """Gives back what free pieces occupy; they stay."""
        for piece in self._pieces:
            if piece.state == _FREE and not piece.is_held:
                piece.clear()

    def _free_place(self, size_bytes: int) -> int | None:
        size_bytes = 1 << max(size_bytes - 1, mmap.PAGESIZE - 1).bit_length()  # what nobody writes takes no memory
        replaceable = []
        for place, piece in enumerate(self._pieces):
            if piece.is_held or piece.state == _IN_USE:
                continue
            if piece.state == _FREE and piece.size_bytes == size_bytes:
                return place
            replaceable.append(place)
        if len(self._pieces) < self._most:  # a free one of another size stays while there is room
            replaceable = [place for place in replaceable if self._pieces[place].state == _GIVEN_UP]
            replaceable.append(len(self._pieces))
        return replaceable[0] if replaceable and self._put_new(replaceable[0], size_bytes) else None

    def _put_new(self, place: int, size_bytes: int) -> bool:
        """Puts a new piece in a place; False if the system gives none."""
        try:
            descriptor = os.memfd_create("batches")
        except OSError:
            return False
        try:
            os.ftruncate(descriptor, _HEADER_BYTES + size_bytes)
            piece = Piece(descriptor)
        except OSError:
            os.close(descriptor)
            return False
        if place in self._descriptors:
            os.close(self._descriptors[place])
        self._pieces[place : place + 1] = [piece]
        self._descriptors[place] = descriptor
        self._places = {address: other for address, other in self._places.items() if other != place}
        return True


class MappedMemory:
    """The pieces of one loader's workers, as the main process knows them."""

    def __init__(self) -> None:
        self._pieces: dict[tuple[int, int], Piece] = {}
        _memories[id(self)] = self

    def storage(self, worker: int, place: int, size_bytes: int, descriptor: int | None) -> torch.UntypedStorage:
        """Returns what a worker has put in a place, for which the piece is in use until the last tensor on it is gone.

        Args:
            worker: Which of the workers.
            place: As its `BatchMemory.enclose` said; so is the next.
            size_bytes: The storage's size.
            descriptor: Of the piece, if it is new.

        Raises:
            OSError: The system maps no more.
        """
        if descriptor is not None:
            self._pieces[worker, place] = Piece(descriptor)
        return self._pieces[worker, place].lend(size_bytes)

    def pieces(self) -> list[Piece]:
        """Returns those known now."""
        return list(self._pieces.values())

    def close(self) -> None:
        """Forgets all pieces; what is in use stays as it is."""
        self._pieces.clear()


def _mapped(descriptor: int) -> memoryview:
    """Returns the memory of a descriptor; it is unmapped when the last look at it is gone.

    Unlike an ``mmap.mmap`` it keeps no descriptor open: a loader with many workers would soon have too many.
    """
    size_bytes = os.fstat(descriptor).st_size
    address = _libc().mmap(None, size_bytes, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, descriptor, 0)
    if address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    memory = (ctypes.c_ubyte * size_bytes).from_address(address)
    weakref.finalize(memory, _libc().munmap, ctypes.c_void_p(address), ctypes.c_size_t(size_bytes)).atexit = False
    return memoryview(memory).cast("B")


@functools.cache
def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return library


@functools.cache
def _memset() -> Callable[..., Any]:
    """Returns that of C: what a signal raises in a Python callback of a weak reference is lost, be it a Ctrl-C."""
    memset = ctypes.PyDLL(None).memset
    # The last is the weak reference, of which C takes no notice.
    memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t, ctypes.py_object]
    return memset


def _before_fork() -> None:
    _forking.append(True)  # first: what another thread receives from now on is given up when it is lent
    for piece in _all_pieces():
        if piece.is_held:
            piece.give_up()


def _after_fork_in_child() -> None:
    _forking.clear()
    for piece in _all_pieces():
        piece.forget_holder()


def _all_pieces() -> list[Piece]:
    memories = [reference() for reference in _memories.valuerefs()]  # at once: other threads may add to them
    return [piece for memory in memories if memory is not None for piece in memory.pieces()]


_memories: weakref.WeakValueDictionary[int, BatchMemory | MappedMemory] = weakref.WeakValueDictionary()
_forking: list[bool] = []  # one for each thread that is forking
if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_forking.pop, after_in_child=_after_fork_in_child)
