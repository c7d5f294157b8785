"""Writes an index file, and its packed copy beside it."""

from __future__ import annotations

import gzip
import itertools
import json
import logging
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

from concurrent_dataloader._base.errors import IndexFileError, MissingFileError, OptionError
from concurrent_dataloader.dataset.atomic_file import Part
from concurrent_dataloader.dataset.key_batch import KeyBatch, find_bad_key
from concurrent_dataloader.dataset.packed_copy import TICK_S, CopyWriter, copies_of, source_of
from concurrent_dataloader.storage.protocol import ObjectInfo

_log = logging.getLogger(__name__)

# Below this size an index is parsed anew in a few milliseconds and pickled by value: not worth a second file, unless
# that file knows the sizes.
PACKED_COPY_FROM_BYTES = 256 * 1024
_BATCH = 1024  # entries that are held before they are written


def write_index(path: str | os.PathLike[str], entries: Iterable[str | ObjectInfo], listed: str) -> int:
    """Writes an index file, whole or not at all; gzipped if the name ends in ``.gz``.

    A JSON list of the keys, one a line; or JSON lines, ``{"key": "...", "size": 123}``, if the name ends in ``.jsonl``
    or ``.jsonl.gz``. The packed copy that `load_index` would make is written right beside it. It also keeps the
    objects' sizes, so there is one for a small index too if sizes are known. A JSON list has no place for them: without
    its packed copy, for instance on another machine, they are gone. JSON lines keep them.

    Args:
        path: Where; its folder is made if needed.
        entries: Keys, or objects whose size is known; taken one after another, never held together.
        listed: What the keys were listed from, for the message if there are none.

    Returns:
        The number of keys.

    Raises:
        MissingFileError: There were no keys; nothing has been written.
        IndexFileError: A key can name neither an object nor a file; nothing has been written.
        OptionError: An entry is neither a string nor an ``ObjectInfo``, or its size is none.
    """
    path = Path(path)
    part = Part(path)
    try:
        with CopyWriter(next(copies_of(path)), path) as copy:
            count = _write_entries(part.file, path, entries, copy)
            if not count:
                raise MissingFileError(f"no index {path} was written: nothing in {listed} matches")
            status = part.publish()
            if copy.sized or status.st_size >= PACKED_COPY_FROM_BYTES:
                _publish(copy, status, path)
    finally:
        part.discard()
    return count


def _publish(copy: CopyWriter, status: os.stat_result, path: Path) -> None:
    time.sleep(TICK_S)  # any later change of the index file then gets a later time stamp, see `settled_status`
    if copy.publish(source_of(status)) is None:
        level = logging.WARNING if copy.sized and not _in_lines(path) else logging.INFO
        lost = ", and the sizes of its objects are lost" if level == logging.WARNING else ""
        _log.log(level, "no packed copy of %s was written%s: %s", path, lost, copy.error)


def _write_entries(file: BinaryIO, path: Path, entries: Iterable[str | ObjectInfo], copy: CopyWriter) -> int:
    start, between, end = (b"", b"\n", b"\n") if _in_lines(path) else (b"[\n", b",\n", b"\n]\n")
    count = 0
    with _compressed(file) if path.suffix == ".gz" else nullcontext(file) as out:
        for batch in _batches(entries, path):
            out.write(between if count else start)
            out.write(between.join(_texts(batch, _in_lines(path))))
            copy.add(batch)
            count += len(batch.keys)
        out.write(end)
    return count


def _texts(batch: KeyBatch, in_lines: bool) -> Iterator[bytes]:
    if not in_lines:
        return (json.dumps(key).encode() for key in batch.keys)
    sizes = batch.sizes or [None] * len(batch.keys)
    return (_line(key, size) for key, size in zip(batch.keys, sizes, strict=True))


def _line(key: str, size: int | None) -> bytes:
    return json.dumps({"key": key} if size is None else {"key": key, "size": size}).encode()


def _batches(entries: Iterable[str | ObjectInfo], path: Path) -> Iterator[KeyBatch]:
    stream, count = iter(entries), 0
    while batch := list(itertools.islice(stream, _BATCH)):
        for at, entry in enumerate(batch, start=count):
            _check_entry(entry, at)
        keys = [entry if isinstance(entry, str) else entry.key for entry in batch]
        if bad := find_bad_key(keys):
            raise IndexFileError(f"no index {path} was written: entry {count + bad[0]} (counted from 0) {bad[1]}")
        sizes = [None if isinstance(entry, str) else entry.size_bytes for entry in batch]
        yield KeyBatch(keys, None if sizes.count(None) == len(sizes) else sizes)
        count += len(batch)


def _check_entry(entry: object, at: int) -> None:
    if isinstance(entry, str):
        return
    if not isinstance(entry, ObjectInfo):
        raise OptionError(f"entries: entry {at} is {entry!r}; expected a key (a string) or an ObjectInfo")
    if not isinstance(entry.size_bytes, int) or not 0 <= entry.size_bytes < 2**63:
        raise OptionError(f"entries: entry {at} is {entry!r}; expected a size in bytes from 0 on")


def _in_lines(path: Path) -> bool:
    return path.name.removesuffix(".gz").endswith(".jsonl")


def _compressed(file: BinaryIO) -> gzip.GzipFile:
    return gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0)  # the same keys make the same file
