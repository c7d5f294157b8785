"""Lists a store in parts of its keys' order, many at once, whatever its folders look like."""

from __future__ import annotations

import itertools
import operator
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

from concurrent_dataloader._base.errors import StorageError
from concurrent_dataloader.dataset.folder_cuts import find_cuts
from concurrent_dataloader.dataset.key_range import KeyRange
from concurrent_dataloader.dataset.page_spool import PageSpool, Ticket
from concurrent_dataloader.storage.protocol import ObjectInfo, Page, PagedStore

LISTING_THREADS = 32  # requests in flight; listing is waiting, and S3 allows 5,500 requests a second and prefix

_RANGES_PER_THREAD = 4  # at the start, if so many folders are found: the last ones to be listed are then short
_PAGES_BEFORE_A_CUT = 2  # a range that is over sooner is not worth a request that looks for a cut
_JOIN_TIMEOUT_S = 2.0  # after an error or Ctrl-C: how long a request in flight is waited for


def list_ranges(store: PagedStore, prefix: str, threads: int = LISTING_THREADS) -> Generator[list[ObjectInfo]]:
    """Yields every object that starts with a prefix, page by page, in the order of their keys' UTF-8 bytes.

    The keys' order is cut in ranges, at folders where a few requests find some, and the ranges are listed at once.
    Threads without work cut a range that is being listed in two, also within a folder: half-way in the keys' order, and
    then half-way in what is left, until there are keys on both sides. What is listed before its turn waits in a
    `PageSpool`.

    Args:
        store: What to list.
        prefix: Which objects.
        threads: Requests in flight at once.

    Raises:
        StorageError: A request failed, or the store does not list in order.

    Shutdown:
        At the end the threads have ended. After an error, or when the generator is closed early, requests in flight are
        waited for two seconds; a thread that waits for longer ends, as a daemon, with its request.
    """
    top = store.list_page(prefix, delimiter="/")
    if not top.prefixes and not top.truncated:
        yield top.objects
        return
    with closing(PageSpool()) as spool, _Listing(store, prefix, spool).running(top, threads) as listing:
        for ticket in listing.tickets():
            yield spool.take(ticket)


class _Listing:
    """The ranges of one listing, and the threads that list them.

    All state is behind one condition, which is notified whenever a range gets a page, ends or is cut.
    """

    def __init__(self, store: PagedStore, prefix: str, spool: PageSpool) -> None:
        self._store, self._prefix, self._spool = store, prefix, spool
        self._changed = threading.Condition()
        self._ranges = [KeyRange()]
        self._stopped = False
        self._error: BaseException | None = None

    @contextmanager
    def running(self, top: Page, threads: int) -> Iterator[_Listing]:
        """Runs the threads for as long as the block lasts."""
        most = _RANGES_PER_THREAD * threads
        self._ranges = _cut_up(find_cuts(lambda folders: self._levels(folders, threads), top, threads, most))
        workers = [threading.Thread(target=self._work, daemon=True, name=f"listing-{at}") for at in range(threads)]
        for worker in workers:
            worker.start()
        try:
            yield self
        finally:
            with self._changed:
                self._stopped = True
                self._changed.notify_all()
            deadline_s = time.monotonic() + _JOIN_TIMEOUT_S
            for worker in workers:
                worker.join(max(0.0, deadline_s - time.monotonic()))

    def tickets(self) -> Iterator[Ticket]:
        """Yields the tickets of all pages in order."""
        while self._ranges:
            head = self._ranges[0]  # stays the first: cuts only add ranges behind it
            with self._changed:
                self._changed.wait_for(lambda: head.tickets or head.complete or self._error)  # noqa: B023 called here
                if self._error is not None:
                    raise self._error
                ready = list(head.tickets)
                head.tickets.clear()
                if head.complete:
                    del self._ranges[0]
            yield from ready

    def _work(self) -> None:
        """What each thread does: lists ranges, and cuts those of others when there are none left."""
        try:
            while (job := self._next_range()) is not None:
                while not job.done and not self._stopped:
                    self._take(job, self._page(job.last))
        except BaseException as error:  # noqa: BLE001 raised where the listing is read
            with self._changed:
                self._error = self._error or error
                self._stopped = True
                self._changed.notify_all()

    def _next_range(self) -> KeyRange | None:
        while (found := self._free_or_long_range()) is not None:
            if not found.tried:
                return found
            if (half := self._cut(found)) is not None:
                return half
        return None

    def _free_or_long_range(self) -> KeyRange | None:
        """Waits for a range that nobody lists, or else for one that is worth a cut, which is then marked as tried."""
        with self._changed:
            while not self._stopped and not all(each.done for each in self._ranges):
                if (free := next((each for each in self._ranges if not each.taken), None)) is not None:
                    free.taken = True
                    return free
                running = [each for each in self._ranges if not each.done and not each.tried]
                longest = max(running, key=lambda each: each.pages, default=None)
                if longest is not None and longest.pages >= _PAGES_BEFORE_A_CUT:
                    longest.tried = True
                    return longest
                self._changed.wait()
            return None

    def _cut(self, whole: KeyRange) -> KeyRange | None:
        """Cuts a range in two, looking for keys ever nearer to where it is being listed.

        Returns:
            The upper half, whose first page has been listed on the way; None if there was none worth the name.
        """
        half = None
        while half is None and (middle := whole.middle(self._prefix)) is not None and not self._stopped:
            page = self._page(middle)
            with self._changed:
                if whole.done or whole.last >= middle:  # it was listed meanwhile
                    break
                if whole.within(page.objects):
                    half = KeyRange(last=middle, upto=whole.upto, taken=True)
                    self._ranges.insert(self._ranges.index(whole) + 1, half)
                whole.upto = middle  # either way: the half has the rest, or there is no rest
        if half is not None:
            self._take(half, page)
        with self._changed:
            whole.tried, whole.pages = False, 0
            self._changed.notify_all()
        return half

    def _take(self, part: KeyRange, page: Page) -> None:
        """Keeps what of a page belongs to a range."""
        with self._changed:
            mine = part.accept(page.objects, page.truncated)
        ticket = self._spool.put(mine) if mine else None  # not under the condition: others need not wait for it
        with self._changed:
            if ticket is not None:
                part.tickets.append(ticket)
            part.complete = part.done
            self._changed.notify_all()

    def _levels(self, folders: list[str], threads: int) -> list[Page]:
        with ThreadPoolExecutor(threads, thread_name_prefix="listing-level") as pool:
            return list(pool.map(lambda folder: self._store.list_page(folder, delimiter="/"), folders))

    def _page(self, start_after: str) -> Page:
        page = self._store.list_page(self._prefix, start_after)
        keys = [start_after, *(each.key for each in page.objects)]
        if not all(map(operator.lt, keys, keys[1:])):
            raise StorageError(
                f"{self._store.describe(self._prefix)}: the store did not list the keys behind {start_after!r} in the "
                "order of their UTF-8 bytes, as ListObjectsV2 promises; take an inventory as input instead"
            )
        if page.truncated and not page.objects:
            raise StorageError(
                f"{self._store.describe(self._prefix)}: the store sent an empty page and says that more follows"
            )
        return page


def _cut_up(cuts: list[str]) -> list[KeyRange]:
    return [KeyRange(last=low or "", upto=high) for low, high in itertools.pairwise([None, *cuts, None])]
