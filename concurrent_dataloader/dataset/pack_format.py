"""The layout of a pack: many keys, and their sizes if known, in one block of bytes, in memory or as a file.

The block is a header of 64 bytes, the keys' UTF-8 bytes one after another, zeros up to a multiple of 8,
``key_count + 1`` offsets of 64 bits (key *i* lies between offsets *i* and *i + 1*), and, in a sized pack,
``key_count`` sizes of 64 bits. Numbers are in the machine's byte order; a pack from a machine of the other order has
absurd sizes and is refused like a damaged one.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

_MAGIC = b"CDLKEYS2"  # the format's name and version: other bytes mean another format
_FIELDS = struct.Struct("=8sQQq?16s")  # magic, key_count, text_bytes, first_outside, sized, source
_CHECKSUM_BYTES = 4

HEADER_BYTES = 64  # the fields and their checksum, padded with zeros
NUMBER_BYTES = 8  # an offset, or a size
UNKNOWN_SIZE = 2**64 - 1  # no object is that large
NO_SOURCE = bytes(16)
ENCODING_ERRORS = "surrogatepass"  # a local file name that is no UTF-8 has lone surrogates in Python; it must survive


class Header(NamedTuple):
    """What a pack says of itself.

    Attributes:
        key_count: Number of keys.
        text_bytes: Length of all keys together in bytes.
        first_outside: Position of the first key that is absolute or has a ``..`` part, -1 if there is none.
        sized: Whether the sizes of the objects follow the keys.
        source: 16 bytes that identify the state of the file that the keys were read from.
        checksum: CRC-32 of everything behind the header, and of the fields above.
    """

    key_count: int
    text_bytes: int
    first_outside: int
    sized: bool
    source: bytes
    checksum: int

    @property
    def offsets_start(self) -> int:
        """Position of the first offset in the block, in bytes."""
        return HEADER_BYTES + self.text_bytes + -self.text_bytes % NUMBER_BYTES

    @property
    def sizes_start(self) -> int:
        """Position behind the last offset, where the sizes begin, in bytes."""
        return self.offsets_start + (self.key_count + 1) * NUMBER_BYTES

    @property
    def total_bytes(self) -> int:
        """Length of the whole block in bytes."""
        return self.sizes_start + self.key_count * NUMBER_BYTES * self.sized

    def to_bytes(self) -> bytes:
        """Returns the block's first 64 bytes."""
        fields = _FIELDS.pack(_MAGIC, self.key_count, self.text_bytes, self.first_outside, self.sized, self.source)
        return (fields + self.checksum.to_bytes(_CHECKSUM_BYTES, "little")).ljust(HEADER_BYTES, b"\0")

    @classmethod
    def from_bytes(cls, block: bytes) -> Header | None:
        """Reads a block's first 64 bytes; None if they are no header of this format."""
        if len(block) != HEADER_BYTES:
            return None
        _, key_count, text_bytes, first_outside, sized, source = _FIELDS.unpack_from(block)
        checksum = int.from_bytes(block[_FIELDS.size : _FIELDS.size + _CHECKSUM_BYTES], "little")
        header = cls(key_count, text_bytes, first_outside, sized, source, checksum)
        return header if header.to_bytes() == block else None  # the name, and the zeros behind the fields, are right


def is_outside(key: str) -> bool:
    """Whether a key, read as a path below some folder, could lead out of it."""
    return key.startswith("/") or (".." in key and ".." in key.split("/"))
