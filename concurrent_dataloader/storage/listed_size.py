"""Checks a body against the size that a listing gave: the only word on it that is older than the answer itself."""

from __future__ import annotations

import time

from concurrent_dataloader._base.errors import IncompleteBody
from concurrent_dataloader._base.request_events import report_retry
from concurrent_dataloader.storage.protocol import ObjectStore
from concurrent_dataloader.storage.retry import as_begun


def get_listed(store: ObjectStore, key: str, size_bytes: int | None) -> bytes:
    """Reads an object of a known size; a body of another one is asked for once more.

    Args:
        store: Where it lies.
        key: The object.
        size_bytes: Its size in the listing; None where that is not known.

    Raises:
        IncompleteBody: It has another size now: it has changed since the listing.
        StorageError: The store could not deliver it; see `ObjectStore`.
    """
    if size_bytes is None:
        return store.get(key)
    start_s = time.monotonic()  # one deadline for both
    body = store.get(key, size_bytes)
    if len(body) != size_bytes:
        report_retry(throttled=False)
        with as_begun(start_s):
            body = store.get(key, size_bytes)
        _check(store, key, len(body), size_bytes)
    return body


async def aget_listed(store: ObjectStore, key: str, size_bytes: int | None) -> bytes:
    """Like `get_listed`, on the running event loop."""
    if size_bytes is None:
        return await store.aget(key)
    start_s = time.monotonic()
    body = await store.aget(key, size_bytes)
    if len(body) != size_bytes:
        report_retry(throttled=False)
        with as_begun(start_s):
            body = await store.aget(key, size_bytes)
        _check(store, key, len(body), size_bytes)
    return body


def _check(store: ObjectStore, key: str, received: int, listed: int) -> None:
    if received != listed:
        raise IncompleteBody(
            f"{store.describe(key)}: {received} bytes arrived, {listed} were listed: the object has changed since the "
            "listing; list it again, and make a new index if it came from one"
        )
