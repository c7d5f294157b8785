"""Keys that were listed, not read from a file, kept so that all processes share their pages."""

from __future__ import annotations

import hashlib
import io
import itertools
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from concurrent_dataloader.dataset.atomic_file import replacing
from concurrent_dataloader.dataset.cache_folder import user_cache_folder
from concurrent_dataloader.dataset.index_file import PACKED_COPY_FROM_BYTES
from concurrent_dataloader.dataset.key_index import KeyIndex
from concurrent_dataloader.dataset.packed_keys import ENCODING_ERRORS, Header, PackedKeys, PackWriter

_log = logging.getLogger(__name__)

_BATCH = 1 << 16  # keys encoded in one go: a few MB at most
_SOURCE_BYTES = 16  # what a pack's header holds of the digest


def share_keys(keys: Iterable[str], listed: str, digest: bytes) -> KeyIndex:
    """Packs keys; from 256 KiB on in a file of the user's cache folder, which all processes map into memory.

    There is one file for each place that is listed, and the next listing of the place replaces it: processes that have
    mapped the old one keep it. Where no file can be written, every spawned worker gets a copy of the keys.

    Args:
        keys: The keys, in the dataset's order; they are read once.
        listed: The place that they were listed from.
        digest: Identifies the keys and their order: an equal file that is there already is used.
    """
    source = hashlib.sha256(digest).digest()[:_SOURCE_BYTES]
    block, header = _pack(keys, source)
    if header.total_bytes < PACKED_COPY_FROM_BYTES:
        return KeyIndex(PackedKeys(block, header))
    name = hashlib.sha256(listed.encode("utf-8", ENCODING_ERRORS)).hexdigest()[:32]
    path = user_cache_folder() / "listed" / f"{name}.packed"
    shared = PackedKeys.open(path, source)
    if shared is None:
        try:
            _write(path, block)
        except OSError as error:
            _log.warning("every spawned worker will get a copy of all keys of %s: %s: %s", listed, path, error)
        else:
            shared = PackedKeys.open(path, source)
    return KeyIndex(shared or PackedKeys(block, header))


def _pack(keys: Iterable[str], source: bytes) -> tuple[bytes, Header]:
    file = io.BytesIO()
    writer, stream = PackWriter(file, source), iter(keys)
    while batch := list(itertools.islice(stream, _BATCH)):
        writer.add(batch)
    header = writer.finish()
    return file.getvalue(), header


def _write(path: Path, block: bytes) -> None:
    with replacing(path) as file:
        os.fchmod(file.fileno(), 0o600)  # the names in a bucket are nobody else's business
        file.write(block)
