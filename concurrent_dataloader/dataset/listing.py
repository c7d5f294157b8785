"""Lists the keys of a store for an index."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from concurrent_dataloader._base.errors import OptionError
from concurrent_dataloader.dataset.packed_keys import ENCODING_ERRORS
from concurrent_dataloader.storage.protocol import ObjectStore

LISTING_THREADS = 32  # prefixes listed at once; listing is waiting, and S3 allows 5,500 requests a second and prefix


def list_keys(store: ObjectStore, prefix: str = "") -> Iterator[str]:
    """Yields every key that starts with a prefix, in the order of their UTF-8 bytes.

    The folders of the first level with more than one entry are listed at once. Markers of empty folders (keys that end
    in ``/``) are left out.

    Args:
        store: What to list.
        prefix: Where; need not end at a ``/``.

    Shutdown:
        At the end, or when the generator is closed, the threads are joined: after the requests in flight, which the
        store bounds in time.
    """
    folders, objects = store.list_prefixes(prefix)
    while len(folders) == 1 and not objects:
        folders, objects = store.list_prefixes(folders[0])
    keys = heapq.merge(_keys_below(store, sorted(folders, key=_bytes)), (each.key for each in objects), key=_bytes)
    return (key for key in keys if not key.endswith("/"))


def chosen(keys: Iterable[str], suffix: str | Sequence[str] | None) -> Iterator[str]:
    """Yields the keys that end in a suffix, or in one of several, whatever their case; all of them for None.

    Raises:
        OptionError: It is neither a string nor a sequence of strings.
    """
    if suffix is None:
        return iter(keys)
    suffixes = (suffix,) if isinstance(suffix, str) else tuple(suffix)
    if not suffixes or not all(isinstance(each, str) for each in suffixes):
        raise OptionError(f"suffix: expected a string such as '.JPEG', a sequence of them, or None, got {suffix!r}")
    endings = tuple(each.lower() for each in suffixes)
    return (key for key in keys if key.lower().endswith(endings))


def with_progress(keys: Iterable[str], show: bool) -> Iterator[str]:
    """Yields the keys and shows their number and rate on a terminal."""
    # None switches the bar off where standard error is no terminal.
    return iter(tqdm(keys, desc="indexing", unit=" keys", unit_scale=True, disable=None if show else True))


def _keys_below(store: ObjectStore, folders: list[str]) -> Iterator[str]:
    with ThreadPoolExecutor(LISTING_THREADS, thread_name_prefix="listing") as pool:
        ahead = iter(folders)
        # A window, not all at once: what is listed before its turn waits in memory.
        waiting = [pool.submit(_list, store, folder) for folder in itertools.islice(ahead, 2 * LISTING_THREADS)]
        try:
            while waiting:
                yield from waiting.pop(0).result()
                waiting += [pool.submit(_list, store, folder) for folder in itertools.islice(ahead, 1)]
        finally:
            for future in waiting:
                future.cancel()


def _list(store: ObjectStore, folder: str) -> list[str]:
    return [each.key for each in store.list(folder)]


def _bytes(key: str) -> bytes:
    return key.encode("utf-8", ENCODING_ERRORS)
