"""Sorts more objects than memory holds."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from operator import attrgetter

from concurrent_dataloader.dataset.page_spool import PageSpool, Ticket
from concurrent_dataloader.storage.protocol import ObjectInfo

_RUN = 200_000  # objects that are sorted at once: some 60 MB
_PAGE = 1000  # objects of a run that are read back at once


def in_order(objects: Iterable[ObjectInfo], run: int = _RUN) -> Generator[ObjectInfo]:
    """Yields objects in the order of their keys' UTF-8 bytes, each key once.

    Runs of them are sorted in memory, kept in a `PageSpool`, and merged.

    Args:
        objects: In any order.
        run: How many are sorted at once.
    """
    by_key = attrgetter("key")
    stream = iter(objects)
    with closing(PageSpool()) as spool:
        runs: list[list[Ticket]] = []
        while batch := sorted(itertools.islice(stream, run), key=by_key):
            runs.append([spool.put(batch[at : at + _PAGE]) for at in range(0, len(batch), _PAGE)])
        last = None
        for each in heapq.merge(*(_read(spool, tickets) for tickets in runs), key=by_key):
            if each.key != last:
                yield each
            last = each.key


def _read(spool: PageSpool, tickets: list[Ticket]) -> Iterator[ObjectInfo]:
    for ticket in tickets:
        yield from spool.take(ticket)
