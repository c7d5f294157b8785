"""Reads objects of an index, many at once, and says what is wrong with them."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

from concurrent_dataloader._base.errors import AccessDenied, DecodeError, ObjectNotFound, StorageError
from concurrent_dataloader.dataset.check_report import Finding, FindingCollector, Sizes, Wording
from concurrent_dataloader.dataset.decode import decode_pil
from concurrent_dataloader.dataset.key_index import KeyIndex
from concurrent_dataloader.storage.bounded_map import bounded_map
from concurrent_dataloader.storage.protocol import ObjectStore

_AGAIN = "list again: concurrent-dataloader index"
_WORDINGS = {
    "not-found": Wording(
        "objects are not there",
        f"the index is older than the bucket or folder, or was made from another one; {_AGAIN}",
    ),
    "denied": Wording(
        "objects may not be read",
        "name credentials that may read them (--s3-credential-file, AWS_PROFILE), allow s3:GetObject, or read a public "
        "bucket with --unsigned; S3 answers so, too, for objects that are not there, unless s3:ListBucket is allowed",
    ),
    "unreadable": Wording(
        "objects could not be read",
        "see the reasons; if the store was throttling or down, check again, with fewer --threads",
    ),
    "empty": Wording("objects are empty", f"upload them again, or delete them; then {_AGAIN}"),
    "size-changed": Wording(
        "objects do not have the size that the listing gave",
        f"{_AGAIN}; if they were replaced, drop cached copies: concurrent-dataloader cache clear",
    ),
    "undecodable": Wording(
        "objects are no image that can be decoded",
        "upload them again, or leave them out with index --suffix or --exclude; if they are no images on purpose, "
        "check with --no-decode",
    ),
}


class _Probe(NamedTuple):
    kind: str | None
    example: str
    size_bytes: int | None


def check_objects(
    store: ObjectStore,
    keys: KeyIndex,
    positions: Sequence[int],
    *,
    threads: int,
    decode: bool = True,
    on_progress: Callable[[int], object] = lambda objects: None,
) -> tuple[Sizes | None, list[Finding]]:
    """Reads objects and returns their sizes and what is wrong; each object counts once.

    Args:
        store: Where they lie.
        keys: The index; sizes that its listing gave are compared.
        positions: Which of them to read.
        threads: Reads at once.
        decode: Whether to decode them as images.
        on_progress: Called with 1 for each object, in the caller's thread.

    Shutdown:
        As `bounded_map`.
    """
    found, sizes = FindingCollector(_WORDINGS), []
    for probe in bounded_map(functools.partial(_probe, store, keys, decode), positions, threads):
        if probe.kind is not None:
            found.add(probe.kind, probe.example)
        if probe.size_bytes is not None:
            sizes.append(probe.size_bytes)
        on_progress(1)
    summary = Sizes(min(sizes), statistics.median_low(sizes), max(sizes)) if sizes else None
    return summary, found.findings()


def _probe(store: ObjectStore, keys: KeyIndex, decode: bool, position: int) -> _Probe:
    key, listed_bytes = keys[position], keys.size_of(position)
    try:
        body = store.get(key)
    except ObjectNotFound as error:
        return _Probe("not-found", str(error), None)
    except AccessDenied as error:
        return _Probe("denied", str(error), None)
    except StorageError as error:
        return _Probe("unreadable", str(error), None)
    if not body:
        return _Probe("empty", store.describe(key), 0)
    if listed_bytes is not None and listed_bytes != len(body):
        problem = f"{store.describe(key)}: {len(body)} bytes, {listed_bytes} in the listing"
        return _Probe("size-changed", problem, len(body))
    if decode:
        try:
            decode_pil(body)
        except DecodeError as error:
            return _Probe("undecodable", f"{store.describe(key)}: {error}", len(body))
    return _Probe(None, "", len(body))
