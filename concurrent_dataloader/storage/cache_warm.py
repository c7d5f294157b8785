"""Fetches objects into the cache before anybody asks for them."""

from __future__ import annotations

import itertools
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from concurrent_dataloader._base.errors import OptionError, StorageError
from concurrent_dataloader.storage.bounded_map import bounded_map
from concurrent_dataloader.storage.cache import CachedStore
from concurrent_dataloader.storage.cache_entry import HEADER_BYTES

WARM_THREADS = 64  # fetches at once: at 100 ms some 640 objects/s, about what a disk is then asked to write
_SHOWN_FAILURES = 5
_MAX_FAILURES = 100  # so many failed objects are no accident: wrong bucket, wrong rights, a store that is down

Progress = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class WarmReport:
    """What warming did.

    Attributes:
        keys: Keys that were asked for.
        present: Of these, those whose objects were in the cache before.
        fetched: Objects that were fetched and kept.
        fetched_bytes: Their bytes.
        failed: Objects that the store did not deliver.
        failures: The messages of the first few of them.
        missing: Keys whose objects are not in the cache at the end, for whatever reason.
        full: Whether the rest was left out because the objects do not fit into ``max_bytes``.
        refused: Whether the rest was left out because the disk, or another process that holds the cache, refused one.
        gave_up: Whether the rest was left out because too many objects failed.
    """

    keys: int
    present: int
    fetched: int
    fetched_bytes: int
    failed: int
    failures: tuple[str, ...]
    missing: int
    full: bool
    refused: bool
    gave_up: bool


def warm_cache(
    store: CachedStore, keys: Sequence[str], *, threads: int = WARM_THREADS, on_progress: Progress | None = None
) -> WarmReport:
    """Fetches the objects of an index that are not in the cache yet.

    It may be interrupted at any moment and called again: what is there is not fetched again. Objects of other indices
    make room as the least recently used; once the objects of this one fill the bound, the rest is left out, rather
    than drive out what has just been fetched.

    Args:
        store: The cache and the store behind it.
        keys: Keys of the objects; duplicates are fetched once.
        threads: Fetches at once.
        on_progress: Called in the caller's thread with a number of keys that have been dealt with since its last call.

    Returns:
        What was done; failures of single objects are counted, and do not stop the rest.

    Raises:
        OptionError: ``threads`` is no number from 1 on.

    Shutdown:
        An interruption drops what has not begun and joins the threads: after the requests in flight, which the store
        bounds in time.
    """
    if type(threads) is not int or threads < 1:
        raise OptionError(f"threads: expected a whole number from 1 on, got {threads!r}")
    return _Warming(store, keys, on_progress or (lambda keys_done: None)).run(threads)


class _Warming:
    """One call of `warm_cache`; the lock guards the sums, which the threads share."""

    def __init__(self, store: CachedStore, keys: Sequence[str], on_progress: Progress) -> None:
        self._store, self._keys, self._on_progress = store, keys, on_progress
        self._lock = threading.Lock()
        self._bytes = 0  # of this index's objects in the cache
        self._fetched = self._fetched_bytes = self._failed = 0
        self._failures: list[str] = []
        self._full = self._refused = False

    def run(self, threads: int) -> WarmReport:
        absent = self._look()
        for _ in bounded_map(self._bring, self._until_stopped(absent), threads):
            self._on_progress(1)
        # Looked at again, not added up: another process may have driven out what was there.
        missing = sum(self._store.kept_bytes(key) is None for key in self._keys) if absent else 0
        return WarmReport(
            keys=len(self._keys),
            present=len(self._keys) - len(absent),
            fetched=self._fetched,
            fetched_bytes=self._fetched_bytes,
            failed=self._failed,
            failures=tuple(self._failures),
            missing=missing,
            full=self._full,
            refused=self._refused,
            gave_up=self._failed >= _MAX_FAILURES,
        )

    def _look(self) -> array[int]:
        """Marks all that is there as used, so that it makes no room for the rest; returns the others' positions."""
        absent = array("Q")
        for position, key in enumerate(self._keys):
            size_bytes = self._store.kept_bytes(key)
            if size_bytes is None:
                absent.append(position)
            else:
                self._bytes += size_bytes
                self._on_progress(1)
        return absent

    def _until_stopped(self, positions: array[int]) -> Iterator[int]:
        return itertools.takewhile(lambda position: not self._stopped, positions)

    @property
    def _stopped(self) -> bool:
        return self._full or self._refused or self._failed >= _MAX_FAILURES

    def _bring(self, position: int) -> None:
        key = self._keys[position]
        if self._stopped or self._store.kept_bytes(key) is not None:  # the latter for duplicates
            return
        try:
            body = self._store.fetch(key)
        except StorageError as error:
            self._note_failure(error)
            return
        size_bytes = HEADER_BYTES + len(body)
        if size_bytes > self._store.max_bytes:  # never kept; the smaller ones still may be
            return
        with self._lock:
            self._full = self._full or self._bytes + size_bytes > self._store.max_bytes
            if self._full:
                return
            self._bytes += size_bytes
        kept = self._store.keep(key, body)
        with self._lock:
            if kept:
                self._fetched += 1
                self._fetched_bytes += len(body)
            else:
                self._refused = True

    def _note_failure(self, error: StorageError) -> None:
        with self._lock:
            self._failed += 1
            if len(self._failures) < _SHOWN_FAILURES:
                self._failures.append(str(error))
