"""A store that keeps the objects of another store on local disk.

Our own, because no maintained library does the job: diskcache-community 5.8 hands out damaged bytes and takes 157 us
for an LRU read of 110 KB (a plain file: 23 us), diskcache_rs 0.4 pickles: docs/decisions/2026-11-22-own-disk-cache.md.
"""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from concurrent_dataloader._base.errors import OptionError, StorageError, StorageTimeout
from concurrent_dataloader.storage.cache_disk import DiskCache
from concurrent_dataloader.storage.cache_folder import (
    INCOMING_NAME,
    SHARDS,
    entry_name,
    existing_folder,
    scan_shard,
    unlink_entry,
)
from concurrent_dataloader.storage.cache_ledger import locked_ledger, noted_max_bytes, require_file_locks
from concurrent_dataloader.storage.daemon_call import in_daemon_thread
from concurrent_dataloader.storage.protocol import ObjectInfo, ObjectStore

# Seconds that clearing and warming wait for others; a process that holds the lock for longer is stopped, or its disk
# hangs.
_PATIENCE_S = 60.0
_ANY_KEY = "key"  # a legal key for every store, from whose description the store is known
_LARGEST_BOUND = 2**63 - 1  # what the ledger's numbers hold, with room for a sum


@runtime_checkable
class IdentifiedStore(Protocol):
    """A store whose description of an object does not tell it apart from all other stores."""

    def identity(self) -> str:
        """Returns a name that no other store shares, the same in every process and before and after requests."""
        ...


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a cache holds.

    Attributes:
        entries: Number of objects.
        size_bytes: Bytes on disk, 16 of them per object being the cache's own.
        max_bytes: The bound that the last process to write worked with; None before the first.
    """

    entries: int
    size_bytes: int
    max_bytes: int | None


class CachedStore:
    """An `ObjectStore` that looks for whole objects on local disk first, and keeps there what it had to fetch.

    The folder is shared by all threads, workers, loaders and processes of one user on the machine. What is in it is
    taken to be what the store still holds: after others have changed objects, call `clear_cache`. Ranges, sizes and
    listings always come from the store. If the disk is full, read-only or broken, the store alone answers, and a
    warning says so once.

    Args:
        store: The store to fetch from. Its ``identity``, or where it has none its ``describe``, tells stores apart, so
            different stores may share a folder.
        cache_dir: Folder for the cache alone, on a local disk; made with mode 0700 if it is missing.
        max_bytes: Bound in bytes for the sum of all processes, above 0. The least recently used objects make room; an
            object that is larger is never kept. The bookkeeping takes another 2 KB.

    Raises:
        OptionError: An argument is wrong, the folder belongs to others or holds other files, or the system has no
            POSIX file locks.
    """

    def __init__(self, store: ObjectStore, *, cache_dir: Path, max_bytes: int) -> None:
        require_file_locks()
        if isinstance(max_bytes, bool) or not isinstance(max_bytes, int) or not 0 < max_bytes <= _LARGEST_BOUND:
            raise OptionError(
                f"max_bytes (cache_max_bytes of a dataset) must be a whole number of bytes above 0 (and below 2**63), "
                f"not {max_bytes!r}"
            )
        self._store, self._max_bytes = store, max_bytes
        self._cache_dir = Path(cache_dir).expanduser().absolute()  # a worker may have another working directory
        self._store_name = store.identity() if isinstance(store, IdentifiedStore) else store.describe(_ANY_KEY)
        self._disk = DiskCache(self._cache_dir, max_bytes)

    def get(self, key: str, size_bytes: int | None = None) -> bytes:
        name = entry_name(self._store_name, key)
        body = self._disk.read(name)
        if body is None or size_bytes not in (None, len(body)):  # kept before the object was listed with another size
            body = self._store.get(key, size_bytes)
            self._disk.write(name, body)
        return body

    async def aget(self, key: str, size_bytes: int | None = None) -> bytes:
        # A disk may take milliseconds, which the other fetches on the event loop must not wait for.
        name = entry_name(self._store_name, key)
        body = await in_daemon_thread(functools.partial(self._disk.read, name))
        if body is None or size_bytes not in (None, len(body)):
            body = await self._store.aget(key, size_bytes)
            await in_daemon_thread(functools.partial(self._disk.write, name, body))
        return body

    @property
    def max_bytes(self) -> int:
        """The bound, in bytes."""
        return self._max_bytes

    def kept_bytes(self, key: str) -> int | None:
        """Returns the bytes that an object takes up in the cache, and marks it as used; None if it is not there.

        It is not read: whether it is whole shows when it is.
        """
        return self._disk.size_bytes(entry_name(self._store_name, key))

    def fetch(self, key: str) -> bytes:
        """Returns an object from the store, past the cache."""
        return self._store.get(key)

    def keep(self, key: str, body: bytes) -> bool:
        """Keeps the body of an object that was fetched; says whether there was room and the disk took it."""
        return self._disk.write(entry_name(self._store_name, key), body, _PATIENCE_S)

    def put(self, key: str, body: bytes) -> None:
        try:
            self._store.put(key, body)
        finally:  # also after an error: the object may have been written all the same
            self._forget(key)

    def get_range(self, key: str, start: int, end: int) -> bytes:
        return self._store.get_range(key, start, end)

    def head(self, key: str) -> ObjectInfo:
        return self._store.head(key)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return self._store.list(prefix)

    def list_prefixes(self, prefix: str = "") -> tuple[builtins.list[str], builtins.list[ObjectInfo]]:
        return self._store.list_prefixes(prefix)

    def describe(self, key: str) -> str:
        return self._store.describe(key)

    def set_max_concurrency(self, requests: int) -> None:
        self._store.set_max_concurrency(requests)

    async def aclose(self) -> None:
        await self._store.aclose()

    def __repr__(self) -> str:
        return f"CachedStore({self._store!r}, cache_dir={str(self._cache_dir)!r}, max_bytes={self._max_bytes})"

    def __reduce__(self) -> tuple[Callable[[], CachedStore], tuple[()]]:
        # Built anew in the other process, which so checks the folder for itself.
        again = functools.partial(CachedStore, self._store, cache_dir=self._cache_dir, max_bytes=self._max_bytes)
        return again, ()

    def _forget(self, key: str) -> None:
        try:
            self._disk.remove(entry_name(self._store_name, key))
        except OSError as error:
            raise StorageError(f"the cached copy of {self.describe(key)} cannot be removed: {error}") from error


def cache_stats(cache_dir: Path) -> CacheStats:
    """Counts what a cache holds, by looking at every entry (seconds for a million).

    Raises:
        MissingFileError: There is no cache in the folder.
        OptionError: The folder belongs to others.
    """
    folder = existing_folder(cache_dir)
    sizes = [entry.size_bytes for shard in range(SHARDS) for entry in scan_shard(folder, shard)]
    return CacheStats(len(sizes), sum(sizes), noted_max_bytes(folder))


def clear_cache(cache_dir: Path) -> CacheStats:
    """Removes every entry, also while others use the cache, and returns what was removed; the folder stays.

    Raises:
        MissingFileError: There is no cache in the folder.
        OptionError: The folder belongs to others.
        StorageTimeout: Another process did not let go of the cache within a minute.
    """
    folder, entries, size_bytes = existing_folder(cache_dir), 0, 0
    for shard in range(SHARDS):
        # Shard by shard, so that others wait for milliseconds at a time.
        with locked_ledger(folder, _PATIENCE_S) as ledger:
            if ledger is None:
                raise StorageTimeout(f"another process holds the cache in {folder} for {_PATIENCE_S:g} s")
            unlink_entry(folder, INCOMING_NAME)  # left by a writer that was killed
            for entry in ledger.rescan(shard):
                size_bytes += unlink_entry(folder, entry.name)
                entries += 1
            ledger.sizes[shard] = 0
            ledger.save()
    return CacheStats(entries, size_bytes, noted_max_bytes(folder))
