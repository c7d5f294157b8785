"""Objects in memory, with latency, faults and gates: the store for tests."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from concurrent_dataloader._base.errors import ObjectNotFound, StorageError
from concurrent_dataloader.storage.daemon_call import in_daemon_thread
from concurrent_dataloader.storage.process_local import ProcessLocal
from concurrent_dataloader.storage.protocol import Level, ObjectInfo, Page
from concurrent_dataloader.storage.ranges import check_range, past_end_message

Faults = Mapping[str, Sequence[Exception | None]]


class MemoryStore:
    """An `ObjectStore` over a dict, which waits and fails as a test asks it to.

    It is picklable unless it has gates. Its counters belong to one process: a child starts at zero.

    Args:
        objects: Bodies by key; the dict is kept, not copied.
        latency_s: Time that each reading takes, in seconds.
        faults: Per key, what its first, second, ... reading raises; None, and all after the last, succeed. A truncated
            body is an ``IncompleteBody``, since a store hands on no short ones.
        gates: Per key, an event that each reading waits for before it answers.
        page_size: Entries of a listing's page at most.
    """

    def __init__(
        self,
        objects: dict[str, bytes] | None = None,
        *,
        latency_s: float = 0.0,
        faults: Faults | None = None,
        gates: Mapping[str, threading.Event] | None = None,
        page_size: int = 1000,
    ) -> None:
        self.page_size = page_size
        self._objects = objects if objects is not None else {}
        self._latency_s = latency_s
        self._faults = dict(faults or {})
        self._gates = dict(gates or {})
        self._gauge = ProcessLocal(_Gauge)

    @property
    def requests(self) -> int:
        """Readings so far in this process, all keys together."""
        return self._gauge.get().requests.total()

    @property
    def in_flight(self) -> int:
        """Readings that are going on."""
        return self._gauge.get().in_flight

    @property
    def max_in_flight(self) -> int:
        """Most readings that were ever going on at once."""
        return self._gauge.get().max_in_flight

    def requests_of(self, key: str) -> int:
        """Returns how often the key has been read in this process."""
        return self._gauge.get().requests[key]

    def wait_for_in_flight(self, count: int, timeout_s: float) -> bool:
        """Waits until ``count`` readings are going on at once; returns False if that did not come about in time."""
        return self._gauge.get().wait_for(count, timeout_s)

    def get(self, key: str, size_bytes: int | None = None) -> bytes:
        with self._reading(key) as fault:
            time.sleep(self._latency_s)
            if key in self._gates:
                self._gates[key].wait()
            return self._answer(key, fault)

    async def aget(self, key: str, size_bytes: int | None = None) -> bytes:
        with self._reading(key) as fault:
            await asyncio.sleep(self._latency_s)
            if key in self._gates:
                await in_daemon_thread(self._gates[key].wait)
            return self._answer(key, fault)

    def get_range(self, key: str, start: int, end: int) -> bytes:
        check_range(start, end)
        body = self.get(key)
        if start >= len(body):
            raise StorageError(f"{self.describe(key)}: {past_end_message(start, len(body))}")
        return body[start:end]

    def head(self, key: str) -> ObjectInfo:
        return ObjectInfo(key, len(self._body(key)))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        # The order of code points is the order of their UTF-8 bytes.
        return (ObjectInfo(key, len(self._objects[key])) for key in sorted(self._objects) if key.startswith(prefix))

    def list_prefixes(self, prefix: str = "") -> Level:
        prefixes: dict[str, None] = {}
        objects: list[ObjectInfo] = []
        for info in self.list(prefix):
            level, slash, _ = info.key[len(prefix) :].partition("/")
            if slash:
                prefixes[f"{prefix}{level}/"] = None
            else:
                objects.append(info)
        return list(prefixes), objects

    def list_page(
        self, prefix: str, start_after: str = "", delimiter: str = "", max_entries: int | None = None
    ) -> Page:
        """As `PagedStore` has it; a reading of the key ``prefix``, so that latency, faults and gates count for it."""
        with self._reading(prefix) as fault:
            time.sleep(self._latency_s)
            if prefix in self._gates:
                self._gates[prefix].wait()
            if fault is not None:
                raise fault
            behind = [info for info in self.list(prefix) if info.key > start_after]
            return _first_entries(behind, prefix, delimiter, min(max_entries or self.page_size, self.page_size))

    def put(self, key: str, body: bytes) -> None:
        self._objects[key] = body

    def describe(self, key: str) -> str:
        return f"memory://{key}"

    def set_max_concurrency(self, requests: int) -> None:
        """Does nothing: there is no pool of connections."""

    async def aclose(self) -> None:
        """Does nothing: no loop owns anything here."""

    @contextmanager
    def _reading(self, key: str) -> Iterator[Exception | None]:
        gauge = self._gauge.get()
        turn = gauge.begin(key)
        script = self._faults.get(key, ())
        try:
            yield script[turn] if turn < len(script) else None
        finally:
            gauge.end()

    def _answer(self, key: str, fault: Exception | None) -> bytes:
        if fault is not None:
            raise fault
        return self._body(key)

    def _body(self, key: str) -> bytes:
        try:
            return self._objects[key]
        except KeyError:
            raise ObjectNotFound(f"{self.describe(key)}: there is no such object") from None


def _first_entries(objects: list[ObjectInfo], prefix: str, delimiter: str, size: int) -> Page:
    names: dict[str, ObjectInfo | None] = {}
    for info in objects:
        level, found, _ = info.key[len(prefix) :].partition(delimiter) if delimiter else (info.key, "", "")
        names[f"{prefix}{level}{found}" if found else info.key] = None if found else info
    entries = list(names.items())[:size]
    prefixes = [name for name, info in entries if info is None]
    return Page(prefixes, [info for _, info in entries if info is not None], len(names) > size)


class _Gauge:
    """Counts the readings of one process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.requests: Counter[str] = Counter()
        self.in_flight = 0
        self.max_in_flight = 0

    def begin(self, key: str) -> int:
        """Returns how often the key has been read before."""
        with self._changed:
            turn = self.requests[key]
            self.requests[key] += 1
            self.in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self.in_flight)
            self._changed.notify_all()
            return turn

    def end(self) -> None:
        with self._changed:
            self.in_flight -= 1

    def wait_for(self, count: int, timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.in_flight >= count, timeout_s)
