"""Writes a pack of keys, batch after batch."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import BinaryIO, TypeAlias

import numpy as np

from concurrent_dataloader.dataset.key_batch import KeyBatch
from concurrent_dataloader.dataset.pack_format import (
    ENCODING_ERRORS,
    HEADER_BYTES,
    NO_SOURCE,
    NUMBER_BYTES,
    UNKNOWN_SIZE,
    Header,
    is_outside,
)

Numbers: TypeAlias = np.ndarray[tuple[int], np.dtype[np.uint64]]


class PackWriter:
    """Holds no more than the batch at hand, and 8 bytes per key (16 with sizes).

    Args:
        file: A seekable binary file, empty; the caller opens and closes it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._ends: list[Numbers] = []
        self._sizes: list[Numbers] = []
        self._sized = False
        self._key_count = self._text_bytes = self._checksum = 0
        self._first_outside = -1
        file.write(bytes(HEADER_BYTES))

    def add(self, batch: KeyBatch) -> None:
        """Appends keys: any strings, also those that no index file may hold."""
        keys = batch.keys
        text = "".join(keys)
        encoded = text.encode("utf-8", ENCODING_ERRORS)
        ascii_only = len(encoded) == len(text)
        lengths = map(len, keys if ascii_only else (key.encode("utf-8", ENCODING_ERRORS) for key in keys))
        ends = np.fromiter(lengths, dtype=np.uint64, count=len(keys)).cumsum(dtype=np.uint64)
        self._ends.append(ends + np.uint64(self._text_bytes))
        self._add_sizes(batch.sizes, len(keys))
        if self._first_outside < 0 and (".." in text or "\0/" in "\0" + "\0".join(keys)):
            self._first_outside = next((self._key_count + at for at, key in enumerate(keys) if is_outside(key)), -1)
        self._key_count += len(keys)
        self._text_bytes += len(encoded)
        self._write(encoded)

    def finish(self, source: bytes = NO_SOURCE) -> Header:
        """Writes offsets, sizes and header; the pack is readable after it and not before.

        Args:
            source: 16 bytes that identify what the keys were read from.
        """
        self._write(bytes(-self._text_bytes % NUMBER_BYTES))
        self._write(bytes(NUMBER_BYTES))
        for numbers in self._ends + (self._sizes if self._sized else []):
            self._write(numbers.tobytes())
        fields = Header(self._key_count, self._text_bytes, self._first_outside, self._sized, source, checksum=0)
        header = fields._replace(checksum=zlib.crc32(fields.to_bytes(), self._checksum))
        self._file.seek(0)
        self._file.write(header.to_bytes())
        self._file.flush()
        return header

    def _add_sizes(self, sizes: Sequence[int | None] | None, count: int) -> None:
        if sizes is None:
            if self._sized:
                self._sizes.append(_unknown(count))
            return
        if not self._sized:
            self._sized = True
            self._sizes.append(_unknown(self._key_count))
        known = (UNKNOWN_SIZE if size is None else size for size in sizes)
        self._sizes.append(np.fromiter(known, dtype=np.uint64, count=count))

    def _write(self, block: bytes) -> None:
        self._checksum = zlib.crc32(block, self._checksum)
        self._file.write(block)


def _unknown(count: int) -> Numbers:
    return np.full(count, UNKNOWN_SIZE, dtype=np.uint64)
