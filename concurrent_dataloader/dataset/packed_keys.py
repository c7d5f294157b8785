"""A pack of keys that is open for reading, in memory or mapped from a file.

Nothing in a pack can make a read leave the pack: its parts are memoryviews, which Python cuts at their ends, and what
is not true of the keys (a file need not come from `PackWriter`, and its checksum can be forged) is refused when the
file is opened, or gives a wrong key at worst.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
import weakref
import zlib
from multiprocessing.context import get_spawning_popen
from pathlib import Path
from typing import BinaryIO

import numpy as np

from concurrent_dataloader._base.errors import IndexFileError
from concurrent_dataloader.dataset.pack_format import ENCODING_ERRORS, HEADER_BYTES, NUMBER_BYTES, Header

__all__ = ["ENCODING_ERRORS", "PackedKeys"]

# Not blocking: a pipe that somebody put there has no other end, and would be waited for.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_READ_BYTES = 1 << 20  # piece in which a file is checked: the check maps nothing and holds one piece


class PackedKeys:
    """Keys, and their sizes if known.

    Pickled by its path as long as the file there is still the mapped one: a spawned worker gets a few hundred bytes,
    also for ten million keys. A mapped file without a name is handed to spawned workers through its descriptor. All
    else is pickled by value.

    Args:
        block: The whole pack, in memory or mapped.
        header: What its first bytes say.
        path: The file that it is mapped from; None if it lies in memory.
        inode: ``(st_dev, st_ino)`` of that file.
        descriptor: Descriptor of a mapped file without a name, which this object closes when it goes; None without one.

    Attributes:
        header: As given.
        text: The keys' UTF-8 bytes, one after another.
        offsets: Where each key begins in them, and where the last one ends.
        sizes: The objects' sizes in bytes (`UNKNOWN_SIZE` where one is not known); None if none is known.
    """

    def __init__(
        self,
        block: bytes | mmap.mmap,
        header: Header,
        path: Path | None = None,
        inode: tuple[int, int] | None = None,
        descriptor: int | None = None,
    ) -> None:
        self._block, self.header, self._path, self._inode = block, header, path, inode
        self._descriptor = descriptor
        if descriptor is not None:
            weakref.finalize(self, os.close, descriptor)
        view = memoryview(block)
        self.text = view[HEADER_BYTES : HEADER_BYTES + header.text_bytes]
        self.offsets = view[header.offsets_start : header.sizes_start].cast("Q")
        self.sizes = view[header.sizes_start : header.total_bytes].cast("Q") if header.sized else None

    @classmethod
    def open(cls, path: Path, source: bytes, makers: frozenset[int] | None = None) -> PackedKeys | None:
        """Checks the pack at a path from end to end and maps it.

        Args:
            path: The file.
            source: What the pack has to be of.
            makers: Users whose pack is believed, for the checksum finds accidents, not forgeries; None: anybody's.

        Returns:
            None if there is no readable file, or if it is no whole, undamaged pack of this source, or somebody else's.
        """
        try:
            with os.fdopen(os.open(path, _OPEN_FLAGS), "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode) or (makers is not None and status.st_uid not in makers):
                    return None
                header = _read_header(file)
                if header is None or header.source != source:
                    return None
                if not _has_its_checksum(file, header) or not _offsets_rise(file, header):
                    return None
                return cls._map(path, file, header)
        except (OSError, ValueError):  # a ValueError: the file shrank meanwhile
            return None

    @classmethod
    def reopen(cls, path: Path, header: Header) -> PackedKeys:
        """Maps a pack that the process which pickled it has checked already: what unpickling calls.

        Raises:
            IndexFileError: Another pack lies there now, or none.
        """
        with contextlib.suppress(OSError, ValueError), path.open("rb") as file:
            if _read_header(file) == header:
                return cls._map(path, file, header)
        raise IndexFileError(
            f"{path} was removed or replaced while a worker process was starting, or cannot be seen from this one; "
            f"start the run again"
        )

    @classmethod
    def _map(cls, path: Path, file: BinaryIO, header: Header) -> PackedKeys:
        status = os.fstat(file.fileno())
        block = mmap.mmap(file.fileno(), header.total_bytes, access=mmap.ACCESS_READ)
        return cls(block, header, path, (status.st_dev, status.st_ino))

    def __reduce__(self) -> tuple[object, ...]:
        if self._path is not None and _inode_of(self._path) == self._inode:
            return (PackedKeys.reopen, (self._path, self.header))
        # A child that is being started has this process as its parent, so that it can look into /proc. Whoever else
        # unpickles (another machine, or later) could not.
        if self._descriptor is not None and get_spawning_popen() is not None:
            return (PackedKeys.reopen, (Path(f"/proc/{os.getpid()}/fd/{self._descriptor}"), self.header))
        return (PackedKeys, (bytes(self._block), self.header))


def _read_header(file: BinaryIO) -> Header | None:
    """The header of a pack whose length is the one that it announces."""
    header = Header.from_bytes(file.read(HEADER_BYTES))
    return header if header and os.fstat(file.fileno()).st_size == header.total_bytes else None


def _has_its_checksum(file: BinaryIO, header: Header) -> bool:
    checksum = 0
    while piece := file.read(_READ_BYTES):
        checksum = zlib.crc32(piece, checksum)
    return zlib.crc32(header._replace(checksum=0).to_bytes(), checksum) == header.checksum


def _offsets_rise(file: BinaryIO, header: Header) -> bool:
    """Whether the offsets lead from the start of the text to its end without a step back."""
    file.seek(header.offsets_start)
    last, left = 0, header.key_count + 1
    while left:
        piece = np.frombuffer(file.read(min(left * NUMBER_BYTES, _READ_BYTES)), dtype=np.uint64)
        if not piece.size or piece[0] < last or (piece[1:] < piece[:-1]).any():
            return False
        if left > header.key_count and piece[0]:
            return False
        last, left = int(piece[-1]), left - piece.size
    return last == header.text_bytes


def _inode_of(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
