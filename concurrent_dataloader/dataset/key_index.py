"""The keys of a dataset as one immutable sequence that costs no Python object per key."""

from __future__ import annotations

import io
import itertools
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

from concurrent_dataloader.dataset.packed_keys import ENCODING_ERRORS, PackedKeys, PackWriter, is_outside

_BATCH = 1 << 16  # keys encoded in one go when packing: large enough to be fast, a few MB at most


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
        """Packs keys in memory."""
        file = io.BytesIO()
        writer = PackWriter(file)
        stream = iter(keys)
        while batch := list(itertools.islice(stream, _BATCH)):
            writer.add(batch)
        header = writer.finish()
        return cls(PackedKeys(file.getvalue(), header))

    @property
    def first_outside(self) -> int | None:
        """Position of the first key that is absolute or has a ``..`` part; None if there is none."""
        position = self._packed.header.first_outside
        if 0 <= position < self._first:  # the one that was recorded lies before this view: others may follow
            return next((at for at, key in enumerate(self) if is_outside(key)), None)
        return position - self._first if self._first <= position < self._stop else None

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> KeyIndex: ...

    def __getitem__(self, index: int | slice) -> str | KeyIndex:
        if isinstance(index, slice):
            return self._slice(range(*index.indices(self._length)))
        position = operator.index(index)
        if position < 0:
            position += self._length
        if not 0 <= position < self._length:
            raise IndexError(f"index {index} is out of range for {self._length} keys")
        at = self._first + position
        return str(self._text[self._offsets[at] : self._offsets[at + 1]], "utf-8", ENCODING_ERRORS)

    def _slice(self, positions: range) -> KeyIndex:
        if positions.step == 1 or not positions:
            first = self._first + positions.start
            return KeyIndex(self._packed, first, first + len(positions))
        return KeyIndex.from_keys(self[position] for position in positions)

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(self._length))

    def __reduce__(self) -> tuple[object, ...]:
        return (KeyIndex, (self._packed, self._first, self._stop))

    def __repr__(self) -> str:
        return f"KeyIndex({self._length} keys)"
