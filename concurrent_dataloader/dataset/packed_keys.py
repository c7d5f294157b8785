"""Many keys in one block of bytes: the format behind `KeyIndex`, in memory and as a file.

The block is a header of 64 bytes, the keys' UTF-8 bytes one after another, zeros up to a multiple of 8, and
``key_count + 1`` offsets of 64 bits: key *i* lies between offsets *i* and *i + 1*. As a file it is mapped into memory,
so that all processes that read it share the same physical pages. Numbers are in the machine's byte order; a pack from a
machine of the other order has absurd sizes and is refused like a damaged one.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from concurrent_dataloader._base.errors import IndexFileError

_MAGIC = b"CDLKEYS1"  # the format's name and version: other bytes mean another format
_FIELDS = struct.Struct("=8sQQq16s")  # magic, key_count, text_bytes, first_outside, source
_HEADER_BYTES = 64  # the fields and their checksum (52 bytes), padded so that later fields fit without a new layout
_OFFSET_BYTES = 8
_READ_BYTES = 1 << 20  # piece in which a file is checked: the check maps nothing and holds one piece

NO_SOURCE = bytes(16)
ENCODING_ERRORS = "surrogatepass"  # a local file name that is no UTF-8 has lone surrogates in Python; it must survive


class Header(NamedTuple):
    """What a pack says of itself.

    Attributes:
        key_count: Number of keys.
        text_bytes: Length of all keys together in bytes.
        first_outside: Position of the first key that is absolute or has a ``..`` part, -1 if there is none.
        source: 16 bytes that identify the state of the file that the keys were read from.
        checksum: CRC-32 of keys, offsets and the fields above.
    """

    key_count: int
    text_bytes: int
    first_outside: int
    source: bytes
    checksum: int

    @property
    def offsets_start(self) -> int:
        """Position of the first offset in the block, in bytes."""
        return _HEADER_BYTES + self.text_bytes + -self.text_bytes % _OFFSET_BYTES

    @property
    def total_bytes(self) -> int:
        """Length of the whole block in bytes."""
        return self.offsets_start + (self.key_count + 1) * _OFFSET_BYTES

    def to_bytes(self) -> bytes:
        """Returns the block's first 64 bytes."""
        fields = _FIELDS.pack(_MAGIC, self.key_count, self.text_bytes, self.first_outside, self.source)
        return (fields + self.checksum.to_bytes(4, "little")).ljust(_HEADER_BYTES, b"\0")

    @classmethod
    def from_bytes(cls, block: bytes) -> Header | None:
        """Reads a block's first 64 bytes; None if they are no header of this format."""
        if len(block) < _HEADER_BYTES or not block.startswith(_MAGIC):
            return None
        _, key_count, text_bytes, first_outside, source = _FIELDS.unpack_from(block)
        checksum = int.from_bytes(block[_FIELDS.size : _FIELDS.size + 4], "little")
        return cls(key_count, text_bytes, first_outside, source, checksum)


class PackWriter:
    """Writes a pack, batch after batch of keys, holding no more than the offsets and the batch at hand.

    Args:
        file: A seekable binary file, empty; the caller opens and closes it.
        source: 16 bytes that identify what the keys were read from.
    """

    def __init__(self, file: BinaryIO, source: bytes = NO_SOURCE) -> None:
        self._file, self._source = file, source
        self._ends: list[np.ndarray[tuple[int], np.dtype[np.uint64]]] = []
        self._key_count = self._text_bytes = self._checksum = 0
        self._first_outside = -1
        file.write(bytes(_HEADER_BYTES))

    def add(self, keys: list[str]) -> None:
        """Appends keys."""
        text = "".join(keys)
        encoded = text.encode("utf-8", ENCODING_ERRORS)
        ascii_only = len(encoded) == len(text)
        lengths = map(len, keys if ascii_only else (key.encode("utf-8", ENCODING_ERRORS) for key in keys))
        ends = np.fromiter(lengths, dtype=np.uint64, count=len(keys)).cumsum(dtype=np.uint64)
        self._ends.append(ends + np.uint64(self._text_bytes))
        if self._first_outside < 0:
            self._first_outside = next((self._key_count + at for at, key in enumerate(keys) if is_outside(key)), -1)
        self._key_count += len(keys)
        self._text_bytes += len(encoded)
        self._write(encoded)

    def finish(self) -> Header:
        """Writes offsets and header; the pack is readable after it and not before."""
        self._write(bytes(-self._text_bytes % _OFFSET_BYTES))
        self._write(bytes(_OFFSET_BYTES))
        for ends in self._ends:
            self._write(ends.tobytes())
        unsigned = Header(self._key_count, self._text_bytes, self._first_outside, self._source, checksum=0)
        header = unsigned._replace(checksum=zlib.crc32(unsigned.to_bytes(), self._checksum))
        self._file.seek(0)
        self._file.write(header.to_bytes())
        self._file.flush()
        return header

    def _write(self, block: bytes) -> None:
        self._checksum = zlib.crc32(block, self._checksum)
        self._file.write(block)


class PackedKeys:
    """A pack that is open for reading.

    Pickled by its path as long as the file there is still the mapped one, by value otherwise: a spawned worker gets a
    few hundred bytes, also for ten million keys.

    Args:
        block: The whole pack, in memory or mapped.
        header: What its first bytes say.
        path: The file that it is mapped from; None if it lies in memory.
        inode: ``(st_dev, st_ino)`` of that file.
    """

    def __init__(
        self,
        block: bytes | mmap.mmap,
        header: Header,
        path: Path | None = None,
        inode: tuple[int, int] | None = None,
    ) -> None:
        self._block, self.header, self._path, self._inode = block, header, path, inode
        view = memoryview(block)
        self.text = view[_HEADER_BYTES : _HEADER_BYTES + header.text_bytes]
        self.offsets = view[header.offsets_start : header.total_bytes].cast("Q")

    @classmethod
    def open(cls, path: Path, source: bytes) -> PackedKeys | None:
        """Checks the pack at a path from end to end and maps it.

        Returns:
            None if there is no readable file, or if it is no whole, undamaged pack of this source.
        """
        try:
            with path.open("rb") as file:
                header = Header.from_bytes(file.read(_HEADER_BYTES))
                if header is None or header.source != source or os.fstat(file.fileno()).st_size != header.total_bytes:
                    return None
                return cls._map(path, file, header) if _checksum(file, header) == header.checksum else None
        except OSError:
            return None

    @classmethod
    def reopen(cls, path: Path, header: Header) -> PackedKeys:
        """Maps a pack that the process which pickled it has checked already: what unpickling calls.

        Raises:
            IndexFileError: Another pack lies there now.
        """
        with path.open("rb") as file:
            if file.read(_HEADER_BYTES) != header.to_bytes() or os.fstat(file.fileno()).st_size != header.total_bytes:
                raise IndexFileError(f"{path} was replaced while a worker process was starting; start the run again")
            return cls._map(path, file, header)

    @classmethod
    def _map(cls, path: Path, file: BinaryIO, header: Header) -> PackedKeys:
        status = os.fstat(file.fileno())
        block = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return cls(block, header, path, (status.st_dev, status.st_ino))

    def __reduce__(self) -> tuple[object, ...]:
        if self._path is not None and _inode_of(self._path) == self._inode:
            return (PackedKeys.reopen, (self._path, self.header))
        return (PackedKeys, (bytes(self._block), self.header))


def is_outside(key: str) -> bool:
    """Whether a key, read as a path below some folder, could lead out of it."""
    return key.startswith("/") or (".." in key and ".." in key.split("/"))


def _checksum(file: BinaryIO, header: Header) -> int:
    """The checksum of an open pack whose header has been read."""
    checksum = 0
    while piece := file.read(_READ_BYTES):
        checksum = zlib.crc32(piece, checksum)
    return zlib.crc32(header._replace(checksum=0).to_bytes(), checksum)


def _inode_of(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
