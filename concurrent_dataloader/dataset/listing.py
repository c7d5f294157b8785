"""Lists the objects of a store for an index."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

from concurrent_dataloader.dataset.folder_walk import walk_folders
from concurrent_dataloader.dataset.range_listing import LISTING_THREADS, list_ranges
from concurrent_dataloader.storage import S3Store
from concurrent_dataloader.storage.protocol import ObjectInfo, ObjectStore, PagedStore

__all__ = ["LISTING_THREADS", "list_objects"]

# S3's directory buckets (Express One Zone) list in no order, and from the beginning only; their names end so.
_UNORDERED = "--x-s3"


def list_objects(store: ObjectStore, prefix: str = "") -> Generator[ObjectInfo]:
    """Yields every object whose key starts with a prefix, in the order of their keys' UTF-8 bytes.

    Up to `LISTING_THREADS` requests are in flight at once. Markers of empty folders (keys that end in ``/``) are left
    out.

    Args:
        store: What to list.
        prefix: Where; need not end at a ``/``.

    Raises:
        StorageError: A request failed, or the store does not keep to S3's order.

    Shutdown:
        At the end, or when the generator is closed, the threads end (see `list_ranges` and `walk_folders`).
    """
    if isinstance(store, PagedStore) and not _is_unordered(store):
        with closing(list_ranges(store, prefix)) as pages:
            yield from (each for page in pages for each in page if not each.key.endswith("/"))
        return
    with closing(walk_folders(store, prefix)) as objects:
        yield from (each for each in objects if not each.key.endswith("/"))


def _is_unordered(store: object) -> bool:
    return isinstance(store, S3Store) and store.options.bucket_name.endswith(_UNORDERED)
