"""The keys of a dataset as one immutable sequence that costs no Python object per key."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import SupportsIndex, overload

import numpy as np

from concurrent_dataloader.dataset.key_batch import KeyBatch
from concurrent_dataloader.dataset.memory_pack import pack_in_memory
from concurrent_dataloader.dataset.pack_format import ENCODING_ERRORS, UNKNOWN_SIZE, is_outside
from concurrent_dataloader.dataset.packed_keys import PackedKeys
from concurrent_dataloader.storage.protocol import ObjectInfo

_BATCH = 1 << 16  # keys handled in one go: large enough to be fast, a few MB at most


class KeyIndex(Sequence[str]):
    """Keys in the order of the index file, in packed bytes and offsets.

    A key is decoded when it is asked for (well under a microsecond). A slice with step 1 is a view on the same bytes.
    Processes that map the same file share its pages, under fork and spawn alike; it is then pickled in some 300 bytes.

    Args:
        packed: The keys.
        first: Position of the first key of this view.
        stop: Position after its last one; None for all.
    """

    def __init__(self, packed: PackedKeys, first: int = 0, stop: int | None = None) -> None:
        self._packed, self._first = packed, first
        self._stop = packed.header.key_count if stop is None else stop
        self._length = self._stop - first
        self._text, self._offsets = packed.text, packed.offsets

    @classmethod
    def from_keys(cls, keys: Iterable[str]) -> KeyIndex:
        """Packs keys in memory; from 65,537 on in pages that forked and spawned workers share (on Linux)."""
        stream = iter(keys)
        return cls(pack_in_memory(map(KeyBatch, iter(lambda: list(itertools.islice(stream, _BATCH)), []))))

    @classmethod
    def from_objects(cls, objects: Iterable[ObjectInfo]) -> KeyIndex:
        """Like `from_keys`, for what a listing yields; the sizes are kept."""
        stream = iter(objects)
        batches = iter(lambda: list(itertools.islice(stream, _BATCH)), [])
        return cls(pack_in_memory(KeyBatch([e.key for e in each], [e.size_bytes for e in each]) for each in batches))

    @classmethod
    def joined(cls, parts: Iterable[KeyIndex]) -> KeyIndex:
        """Packs the keys of several indexes, one after another, with their sizes."""
        return cls(pack_in_memory(batch for part in parts for batch in part._batches(range(len(part)))))

    @property
    def first_outside(self) -> int | None:
        """Position of the first key that is absolute or has a ``..`` part; None if there is none."""
        position = self._packed.header.first_outside
        if 0 <= position < self._first:  # the one that was recorded lies before this view: others may follow
            return next((at for at, key in enumerate(self) if is_outside(key)), None)
        return position - self._first if self._first <= position < self._stop else None

    def size_of(self, index: SupportsIndex) -> int | None:
        """Returns the object's size in bytes as the listing gave it; None if it is not known.

        Raises:
            IndexError: There is no such key.
        """
        at = self.position_of(index)
        if self._packed.sizes is None:
            return None
        size_bytes = self._packed.sizes[at]
        return None if size_bytes == UNKNOWN_SIZE else size_bytes

    def count_duplicates(self) -> int:
        """Returns how many keys repeat an earlier one: 0 if all of them differ.

        Takes 8 bytes of memory per key for its duration, and some seconds for ten million. Keys are compared by
        Python's own 64-bit hash: for ten million different keys the chance that two of them pass for one is 1 in
        300,000 (n * n / 2 ** 65).
        """
        hashes = np.empty(self._length, dtype=np.int64)
        for start in range(0, self._length, _BATCH):
            batch = self._encoded(self._first + start, min(self._first + start + _BATCH, self._stop))
            hashes[start : start + _BATCH] = np.fromiter(map(hash, batch), dtype=np.int64)
        hashes.sort()
        return int(np.count_nonzero(hashes[1:] == hashes[:-1]))

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> KeyIndex: ...

    def __getitem__(self, index: int | slice) -> str | KeyIndex:
        if isinstance(index, slice):
            return self._slice(range(*index.indices(self._length)))
        at = self.position_of(index)
        return str(self._text[self._offsets[at] : self._offsets[at + 1]], "utf-8", ENCODING_ERRORS)

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(self._length))

    def __reduce__(self) -> tuple[object, ...]:
        return (KeyIndex, (self._packed, self._first, self._stop))

    def __repr__(self) -> str:
        return f"KeyIndex({self._length} keys)"

    def position_of(self, index: SupportsIndex) -> int:
        """The position in the pack."""
        if type(index) is int and 0 <= index < self._length:  # by far the most frequent
            return self._first + index
        position = operator.index(index)
        if position < 0:
            position += self._length
        if not 0 <= position < self._length:
            raise IndexError(f"index {index} is out of range for {self._length} keys")
        return self._first + position

    def _slice(self, positions: range) -> KeyIndex:
        if positions.step == 1 or not positions:
            first = self._first + positions.start
            return KeyIndex(self._packed, first, first + len(positions))
        return KeyIndex(pack_in_memory(self._batches(positions)))

    def _batches(self, positions: range) -> Iterator[KeyBatch]:
        for start in range(0, len(positions), _BATCH):
            part = positions[start : start + _BATCH]
            yield KeyBatch([self[at] for at in part], self._sizes_at(part))

    def _sizes_at(self, positions: range) -> list[int | None] | None:
        return None if self._packed.sizes is None else [self.size_of(at) for at in positions]

    def _encoded(self, first: int, stop: int) -> Iterator[bytes]:
        """The keys from one position of the pack to another as they lie there."""
        ends = self._offsets[first : stop + 1].tolist()
        text = bytes(self._text[ends[0] : ends[-1]])
        return (text[start - ends[0] : end - ends[0]] for start, end in itertools.pairwise(ends))
