"""The index file: a JSON list of keys on disk, a `KeyIndex` in memory."""

from __future__ import annotations

import gzip
import logging
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from concurrent_dataloader._base.errors import IndexFileError, MissingFileError
from concurrent_dataloader.dataset.index_writer import PACKED_COPY_FROM_BYTES, write_index
from concurrent_dataloader.dataset.json_keys import read_keys
from concurrent_dataloader.dataset.key_batch import KeyBatch, find_bad_key
from concurrent_dataloader.dataset.key_index import KeyIndex
from concurrent_dataloader.dataset.memory_pack import pack_in_memory
from concurrent_dataloader.dataset.packed_copy import CopyWriter, copies_of, open_copy, settled_status, source_of
from concurrent_dataloader.dataset.packed_keys import PackedKeys
from concurrent_dataloader.dataset.path_argument import as_path

__all__ = ["check_index", "load_index", "write_index"]

_log = logging.getLogger(__name__)

_GZIP_MAGIC = b"\x1f\x8b"  # RFC 1952, section 2.3.1


def load_index(path: str | os.PathLike[str]) -> KeyIndex:
    """Reads an index file.

    The file is a JSON list of strings, or JSON lines with a string or an object each (``{"key": "...", "size": 123}``,
    the size in bytes and not needed), and may be gzipped; keys may repeat. From 256 KiB on a packed copy is kept
    beside it (``index.json.packed``; in the user's cache folder if its own cannot be written to), which all processes
    map into memory and which makes the next start fast. It is checked when opened and made anew when the index file
    has changed.

    Returns:
        The keys in the order of the file, with the objects' sizes if lines have them or if `write_index` was told.

    Raises:
        MissingFileError: There is no such file.
        IndexFileError: It is not what it should be; the message names file, entry or byte, and what was expected.
        OptionError: ``path`` is no path.
    """
    path = index_path(path)
    packed = None
    try:
        large = path.stat().st_size >= PACKED_COPY_FROM_BYTES
        if large or any(map(os.path.exists, copies_of(path))):
            source = source_of(settled_status(path))
            packed = open_copy(path, source) or (_make_copy(path, source) if large else None)
        return KeyIndex(packed or pack_in_memory(_batches(path)))
    except FileNotFoundError:
        raise MissingFileError(f"there is no index file {path}") from None
    except IsADirectoryError:
        raise IndexFileError(
            f"{path} is a folder; expected an index file, such as concurrent-dataloader index makes of a folder"
        ) from None
    except OSError as error:
        raise IndexFileError(f"{path} cannot be read: {error.strerror}; expected an index file") from error


def index_path(given: object) -> Path:
    """Returns the argument as a path; raises OptionError if it is none, but the list of keys itself, perhaps."""
    hint = "; keys that are at hand go to IndexedDataset(store, keys), or through write_index(...) into a file"
    return as_path("index_file", given, hint=hint)


def check_index(path: Path) -> None:
    """Reads an index file from end to end and keeps nothing of it.

    Raises:
        IndexFileError: As `load_index`.
    """
    for _ in _batches(path):
        pass


def _make_copy(path: Path, source: bytes) -> PackedKeys | None:
    for copy in copies_of(path):
        with CopyWriter(copy, path) as writer:
            batches = _batches(path)
            while writer.error is None and (batch := next(batches, None)):
                writer.add(batch)
            packed = writer.publish(source)
        if packed is not None:
            return packed
        _log.info("no packed copy of %s at %s: %s", path, copy, writer.error)
    _log.warning("no packed copy of %s can be kept: the next start will have to parse it again", path)
    return None


def _batches(path: Path) -> Iterator[KeyBatch]:
    entries = 0
    with _decompressed(path) as file:
        for batch in read_keys(file, path):
            if bad := find_bad_key(batch.keys):
                raise IndexFileError(f"{path}: entry {entries + bad[0]} (counted from 0) {bad[1]}")
            entries += len(batch.keys)
            yield batch


@contextmanager
def _decompressed(path: Path) -> Iterator[BinaryIO]:
    with path.open("rb") as raw, _unchanged(raw, path):
        zipped = raw.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        raw.seek(0)
        if not zipped:
            yield raw
            return
        try:
            with gzip.GzipFile(fileobj=raw) as file:
                yield cast(BinaryIO, file)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise IndexFileError(
                f"{path} is a damaged gzip file: {error}; expected a whole one: copy or download it again"
            ) from error


@contextmanager
def _unchanged(file: BinaryIO, path: Path) -> Iterator[None]:
    """Refuses a file that was written to meanwhile; one that another was renamed over is still whole."""
    before = os.fstat(file.fileno())
    failure: IndexFileError | None = None
    try:
        yield
    except IndexFileError as error:  # the reason may be that half of it is old and half is new
        failure = error
    after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise IndexFileError(f"{path} was written to while it was read; expected a whole file that stays as it is")
    if failure is not None:
        raise failure
