"""Large objects, fetched by parallel ranges: one connection to S3 gives some 90 MB/s, whatever the network could do.

The parts of one object are checked to be of one version. Where a store does not serve ranges, or replaces the object in
the meantime, a single request reads it instead: a single answer is of one version by itself.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from concurrent_dataloader._base.errors import StorageError
from concurrent_dataloader._base.request_events import report_retry
from concurrent_dataloader.storage.process_local import ProcessLocal
from concurrent_dataloader.storage.ranges import RangePastEnd, RangesIgnored

logger = logging.getLogger(__name__)

LARGE_BYTES = 8 << 20  # from here on: at 90 MB/s a body takes 0.1 s, several times the latency that each range costs
# The same for a size that only the first answer tells: its connection is given up, and one more round trip waited for.
# On the loopback, where one connection is as fast as many, 9 MB then take a third longer than whole, 64 MB no longer.
LARGE_UNLISTED_BYTES = 32 << 20
PART_BYTES = 8 << 20  # AWS's advice for ranges is 8 to 16 MB
MAX_RANGES = 8  # requests in flight for one object
EXTRA_RANGES = 32  # requests in flight in one process beyond one for each large object

ReadPart = Callable[[int, int], "Part"]
AreadPart = Callable[[int, int], Awaitable["Part"]]

_permits: ProcessLocal[threading.Semaphore] = ProcessLocal(lambda: threading.Semaphore(EXTRA_RANGES))


class ObjectReplaced(StorageError):
    """The parts are of different versions of the object."""


class Part(NamedTuple):
    """One part of an object, and what its answer says of the whole.

    Attributes:
        body: The bytes, as ``bytes`` or another buffer.
        etag: The version; None where the store names none.
        size_bytes: Length of the whole object in bytes.
    """

    body: Any
    etag: str | None
    size_bytes: int


def spans_of(size_bytes: int) -> list[tuple[int, int]]:
    """Returns the parts of an object, start and end in bytes: of one length, give or take a byte, and of 8 MiB at most.

    The first is the longest.
    """
    count = max(1, -(-size_bytes // PART_BYTES))
    length, longer = divmod(size_bytes, count)
    starts = [at * length + min(at, longer) for at in range(count + 1)]
    return list(itertools.pairwise(starts))


class LargeObjects:
    """Reads the large objects of one store.

    Args:
        describe: Names an object for messages.

    Shutdown:
        The threads that help with an object end with it; after an error they end with the request they are in. They
        are daemons, and do not block the exit of the process.
    """

    def __init__(self, describe: Callable[[str], str]) -> None:
        self._describe = describe
        self._serves_ranges = True

    def fits(self, size_bytes: int | None) -> bool:
        """Whether an object of that size, if it is known, is to be read by ranges."""
        return size_bytes is not None and size_bytes >= LARGE_BYTES and self._serves_ranges

    def fits_opened(self, size_bytes: int) -> bool:
        """Whether an object is to be read by ranges though a request for all of it has been answered."""
        return size_bytes >= LARGE_UNLISTED_BYTES and self._serves_ranges

    def get(
        self,
        key: str,
        size_bytes: int,
        read: ReadPart,
        whole: Callable[[], bytes],
        first: Callable[[int], Part | None] | None = None,
    ) -> bytes:
        """Returns the body.

        Args:
            key: Named in messages.
            size_bytes: What the body's length is believed to be.
            read: Returns the part from one byte to another; called in several threads.
            whole: Reads the object by one request; called where ranges do not do.
            first: Returns so many of the body's first bytes from an answer that has begun, None if it broke off.
        """

        def read_part(start: int, end: int) -> Part:
            part = first(end) if first is not None and start == 0 else None
            return read(start, end) if part is None else part

        try:
            parts = _Parts(size_bytes)
            with _helpers(parts.count - 1) as helpers:
                _read_in_threads(parts, read_part, helpers)
            return parts.body()
        except (RangesIgnored, RangePastEnd, ObjectReplaced) as error:
            self._note(key, error)
        return whole()

    async def aget(
        self,
        key: str,
        size_bytes: int,
        read: AreadPart,
        whole: Callable[[], Awaitable[bytes]],
        first: Callable[[int], Awaitable[Part | None]] | None = None,
    ) -> bytes:
        """Like `get`, on the running event loop."""

        async def read_part(start: int, end: int) -> Part:
            part = await first(end) if first is not None and start == 0 else None
            return await read(start, end) if part is None else part

        try:
            parts = _Parts(size_bytes)
            with _helpers(parts.count - 1) as helpers:
                await _read_in_tasks(parts, read_part, helpers)
            return parts.body()
        except (RangesIgnored, RangePastEnd, ObjectReplaced) as error:
            self._note(key, error)
        return await whole()

    def _note(self, key: str, error: StorageError) -> None:
        report_retry(throttled=False)
        if isinstance(error, RangesIgnored) and self._serves_ranges:
            self._serves_ranges = False
            logger.warning("%s: the store does not serve ranges, so large objects are read whole", self._describe(key))
        else:
            logger.info("%s: read whole, since its parts do not fit: %s", self._describe(key), error)


class _Parts:
    """The parts of one object: hands out those to be read, and takes in what came."""

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._spans = spans_of(size_bytes)
        self._lock = threading.Lock()
        self._waiting = iter(range(len(self._spans)))
        self._bodies: dict[int, Any] = {}
        self._etag: str | None = None
        self._error: BaseException | None = None
        self._ended = threading.Event()

    @property
    def count(self) -> int:
        return len(self._spans)

    def take(self) -> tuple[int, int, int] | None:
        """Returns number, start and end of the next part; None once all are taken, or one has failed."""
        with self._lock:
            number = next(self._waiting, None) if self._error is None else None
        return None if number is None else (number, *self._spans[number])

    def put(self, number: int, part: Part) -> None:
        """Takes in a part; raises ObjectReplaced where it is of another version than the others, or than the size."""
        start, end = self._spans[number]
        with self._lock:
            self._etag = self._etag or part.etag
            same = part.etag in (None, self._etag)
            if not same or part.size_bytes != self._size_bytes or len(part.body) != end - start:
                raise ObjectReplaced(
                    f"bytes {start} to {end} are of version {part.etag} with {part.size_bytes} bytes, expected version "
                    f"{self._etag} with {self._size_bytes}"
                )
            self._bodies[number] = part.body
            if len(self._bodies) == self.count:
                self._ended.set()

    def fail(self, error: BaseException) -> None:
        """Takes in that a part cannot be had, so that none of the others is needed."""
        with self._lock:
            self._error = self._error or error
            self._ended.set()

    def wait(self) -> None:
        """Waits for the last part, or raises the first error."""
        self._ended.wait()
        if self._error is not None:
            raise self._error

    def body(self) -> bytes:
        """Returns the whole, in one copy."""
        return b"".join(self._bodies[number] for number in range(len(self._spans)))


@contextmanager
def _helpers(wanted: int) -> Iterator[int]:
    """Yields how many requests beyond the first may be in flight for one object; waits for none of them."""
    semaphore = _permits.get()
    granted = 0
    try:
        while granted < min(wanted, MAX_RANGES - 1) and semaphore.acquire(blocking=False):
            granted += 1
        yield granted
    finally:
        if granted:
            semaphore.release(granted)


def _read_in_threads(parts: _Parts, read: ReadPart, helpers: int) -> None:
    def serve() -> None:
        try:
            while (taken := parts.take()) is not None:
                number, start, end = taken
                parts.put(number, read(start, end))
        except BaseException as error:  # noqa: BLE001 a thread's edge: whatever it is, the caller's thread raises it
            parts.fail(error)

    for _ in range(helpers):
        # With the caller's context, in which the listener of its requests is found.
        threading.Thread(target=contextvars.copy_context().run, args=(serve,), name="range", daemon=True).start()
    serve()
    parts.wait()


async def _read_in_tasks(parts: _Parts, read: AreadPart, helpers: int) -> None:
    async def serve() -> None:
        while (taken := parts.take()) is not None:
            number, start, end = taken
            parts.put(number, await read(start, end))

    tasks = [asyncio.create_task(serve()) for _ in range(helpers + 1)]
    try:
        await asyncio.gather(*tasks)
    finally:  # after an error, or a cancellation, nothing goes on
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
