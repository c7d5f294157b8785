"""The index file: a JSON list of keys on disk, a `KeyIndex` in memory."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import logging
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from concurrent_dataloader._base.errors import IndexFileError, MissingFileError
from concurrent_dataloader.dataset.atomic_file import replacing
from concurrent_dataloader.dataset.cache_folder import user_cache_folder
from concurrent_dataloader.dataset.json_keys import read_keys
from concurrent_dataloader.dataset.key_index import KeyIndex
from concurrent_dataloader.dataset.packed_keys import NO_SOURCE, Header, PackedKeys, PackWriter

_log = logging.getLogger(__name__)

# Below this size an index is parsed anew in a few milliseconds and pickled by value: not worth a second file.
PACKED_COPY_FROM_BYTES = 256 * 1024
_GZIP_MAGIC = b"\x1f\x8b"  # RFC 1952, section 2.3.1


def load_index(path: str | os.PathLike[str]) -> KeyIndex:
    """Reads an index file.

    The file is a JSON list of strings, or has one JSON string per line, and may be gzipped; keys may repeat. From
    256 KiB on a packed copy is kept beside it (``index.json.packed``; in the user's cache folder if its own cannot be
    written to), which all processes map into memory and which makes the next start fast. It is checked when opened
    and made anew when the index file has changed.

    Returns:
        The keys in the order of the file.

    Raises:
        MissingFileError: There is no such file.
        IndexFileError: It is not what it should be; the message names file, entry or byte, and what was expected.
    """
    path = Path(path)
    try:
        status = path.stat()
    except FileNotFoundError:
        raise MissingFileError(f"there is no index file {path}") from None
    if status.st_size < PACKED_COPY_FROM_BYTES:
        return _parse_into_memory(path)
    # The change time too: it tells a copy with preserved modification time from the file it replaced.
    state = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
    source = hashlib.sha256(state.encode()).digest()[:16]
    packed = _open_packed_copy(path, source) or _make_packed_copy(path, source)
    return _parse_into_memory(path) if packed is None else KeyIndex(packed)


def check_index(path: Path) -> None:
    """Reads an index file from end to end and keeps nothing of it.

    Raises:
        IndexFileError: As `load_index`.
    """
    for _ in _batches(path):
        pass


def write_index(path: str | os.PathLike[str], keys: Iterable[str], listed: str) -> int:
    """Writes an index file, whole or not at all, one key a line; gzipped if the name ends in ``.gz``.

    Args:
        path: Where; its folder is made if needed.
        keys: Taken one after another, never held together.
        listed: What the keys were listed from, for the message if there are none.

    Returns:
        The number of keys.

    Raises:
        MissingFileError: There were no keys; nothing has been written.
    """
    path = Path(path)
    count = 0
    with replacing(path) as file:
        compressed = gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0) if path.suffix == ".gz" else None
        out = io.BufferedWriter(cast(io.RawIOBase, compressed)) if compressed else file
        for key in keys:
            out.write((",\n" if count else "[\n").encode() + json.dumps(key).encode())
            count += 1
        if not count:
            raise MissingFileError(f"no index {path} was written: nothing in {listed} matches")
        out.write(b"\n]\n")
        if compressed:
            out.close()
    return count


def _packed_copies(path: Path) -> Iterator[Path]:
    """Where a packed copy may lie, best first."""
    yield path.with_name(path.name + ".packed")
    digest = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()
    yield user_cache_folder() / "index" / f"{digest[:32]}.packed"


def _open_packed_copy(path: Path, source: bytes) -> PackedKeys | None:
    return next((packed for copy in _packed_copies(path) if (packed := PackedKeys.open(copy, source))), None)


def _make_packed_copy(path: Path, source: bytes) -> PackedKeys | None:
    for copy in _packed_copies(path):
        try:
            with replacing(copy) as file:
                _pack(path, file, source)
                shutil.copymode(path, file.name)  # who may read the index may read its copy, and nobody else
        except OSError as error:
            _log.info("no packed copy of %s at %s: %s", path, copy, error)
        else:
            return PackedKeys.open(copy, source)
    _log.warning("no packed copy of %s can be kept: every spawned worker will get a copy of all its keys", path)
    return None


def _parse_into_memory(path: Path) -> KeyIndex:
    file = io.BytesIO()
    header = _pack(path, file)
    return KeyIndex(PackedKeys(file.getvalue(), header))


def _pack(path: Path, out: BinaryIO, source: bytes = NO_SOURCE) -> Header:
    writer = PackWriter(out, source)
    for keys in _batches(path):
        writer.add(keys)
    return writer.finish()


def _batches(path: Path) -> Iterator[list[str]]:
    entries = 0
    with _decompressed(path) as file:
        for keys in read_keys(file, path):
            if not all(keys):
                entry = f"entry {entries + keys.index('')} (counted from 0)"
                raise IndexFileError(f"{path}: {entry} is an empty string; expected a key")
            entries += len(keys)
            yield keys


@contextmanager
def _decompressed(path: Path) -> Iterator[BinaryIO]:
    with path.open("rb") as raw:
        zipped = raw.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        raw.seek(0)
        if not zipped:
            yield raw
            return
        try:
            with gzip.GzipFile(fileobj=raw) as file:
                yield cast(BinaryIO, file)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise IndexFileError(f"{path} is a damaged gzip file: {error}") from error
