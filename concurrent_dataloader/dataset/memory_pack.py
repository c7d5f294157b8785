"""Packs keys without leaving a file behind."""

from __future__ import annotations

import io
import itertools
import mmap
import os
from collections.abc import Iterable

from concurrent_dataloader.dataset.key_batch import KeyBatch
from concurrent_dataloader.dataset.pack_writer import PackWriter
from concurrent_dataloader.dataset.packed_keys import PackedKeys

_MOST_ON_HEAP = 1 << 16  # keys; some 4 MB, which a spawned worker unpickles in a few milliseconds


def pack_in_memory(batches: Iterable[KeyBatch]) -> PackedKeys:
    """Returns the keys, packed.

    More than 65,536 of them go to a file without a name, in memory, where the system has such (Linux): forked and
    spawned workers then share its pages. Fewer lie on the heap: forked workers share it, spawned ones get a copy.
    """
    stream = iter(batches)
    start: list[KeyBatch] = []
    count = 0
    while count <= _MOST_ON_HEAP and (batch := next(stream, None)):
        start.append(batch)
        count += len(batch.keys)
    descriptor = _nameless_file() if count > _MOST_ON_HEAP else None
    stream = itertools.chain(start, stream)
    return _pack_on_heap(stream) if descriptor is None else _pack_nameless(stream, descriptor)


def _nameless_file() -> int | None:
    try:
        return os.memfd_create("keys")
    except (AttributeError, OSError):  # no Linux, or a sandbox without this call
        return None


def _pack_on_heap(batches: Iterable[KeyBatch]) -> PackedKeys:
    file = io.BytesIO()
    writer = PackWriter(file)
    for batch in batches:
        writer.add(batch)
    header = writer.finish()
    return PackedKeys(file.getvalue(), header)


def _pack_nameless(batches: Iterable[KeyBatch], descriptor: int) -> PackedKeys:
    try:
        with open(descriptor, "wb", closefd=False) as file:
            writer = PackWriter(file)
            for batch in batches:
                writer.add(batch)
            header = writer.finish()
        block = mmap.mmap(descriptor, header.total_bytes, access=mmap.ACCESS_READ)
        return PackedKeys(block, header, descriptor=descriptor)
    except BaseException:  # also for a listing that the user interrupts: nobody else knows of the descriptor
        os.close(descriptor)
        raise
