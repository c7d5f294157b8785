"""Which entries of the cache have to go: decided here, without touching a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Entry(NamedTuple):
    """One entry of the cache as its file shows it; entries sort by their last use.

    Attributes:
        used_ns: Last use, in nanoseconds since 1970.
        name: Path below the cache's folder.
        size_bytes: Length of the file.
    """

    used_ns: int
    name: str
    size_bytes: int


class Share(NamedTuple):
    """The part of the cache's bytes that has to go, as a fraction."""

    part: int
    whole: int

    def of(self, size_bytes: int) -> int:
        """Returns this share of some bytes, rounded up."""
        return -(-size_bytes * self.part // self.whole)


# Down to 90 % at once, so that looking through the entries is paid once for many objects that follow.
_LEAST_SHARE = Share(1, 10)


def share_to_free(total_bytes: int, incoming_bytes: int, max_bytes: int) -> Share:
    """Returns the share of a cache that has to go before an object comes in.

    Args:
        total_bytes: Size of the cache, above 0.
        incoming_bytes: Size of the object's entry, at most ``max_bytes``.
        max_bytes: The bound.
    """
    excess = Share(total_bytes + incoming_bytes - max_bytes, total_bytes)
    return max(excess, _LEAST_SHARE, key=lambda share: share.of(total_bytes))


# A clock that is set back by less rights itself within this time; the order of use is wrong as long.
_CLOCK_TOLERANCE_NS = 3600 * 10**9


def without_future(entries: Sequence[Entry], now_ns: int) -> list[Entry]:
    """Returns the entries, those that were used in the future being taken for the oldest.

    They were marked before the clock was set back. Believed, they would never go, and what is used now would always go
    before them: a full cache would keep nothing new for as long as the clock was wrong.

    Args:
        entries: Entries of the cache.
        now_ns: The time, in nanoseconds since 1970.
    """
    latest_ns = now_ns + _CLOCK_TOLERANCE_NS
    return [entry._replace(used_ns=0) if entry.used_ns > latest_ns else entry for entry in entries]


def choose_victims(entries: Sequence[Entry], free_bytes: int) -> list[Entry]:
    """Returns the least recently used entries: as few as free the bytes asked for, or all if they do not."""
    victims: list[Entry] = []
    for entry in sorted(entries):
        if free_bytes <= 0:
            break
        victims.append(entry)
        free_bytes -= entry.size_bytes
    return victims
