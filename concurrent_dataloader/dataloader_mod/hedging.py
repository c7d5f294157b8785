"""When a slow fetch is sent again."""

from __future__ import annotations

from concurrent_dataloader.dataloader_mod.recent import RecentFetches

FETCHES_PER_HEDGE = 20
"""Fetches that pay for one further attempt: at most 5 % more requests, a price that the store can bear."""
LARGE_BYTES = 1 << 20
"""Above this mean size nothing is sent again: the time goes with the size, and a second body would take the link's
bandwidth from the first. (AWS advises aggressive retries for objects below 512 KB.)"""
P95_MULTIPLE = 1.2
"""A fetch is slow when it has been out for this multiple of the recent 95th percentile."""
MOST_RUNS = 3
"""Attempts at one fetch. Where one in a hundred is slow, one in 10,000 is so twice: with 10,000 a second that is one
each second, and since batches keep their order all others wait for it. Thrice it is one in a million."""

_LEAST_KNOWN = 32  # fetches before which the percentile means nothing
_SHORTEST_DELAY_S = 0.01  # below it, the scheduling of busy threads is what one would chase
_BURST = 32 * FETCHES_PER_HEDGE  # what a calm stretch may save up, and a large body that was sent again may owe


class HedgePolicy:
    """Spends a budget of further attempts on the slowest fetches.

    Not thread-safe: whoever owns it holds a lock.

    Args:
        enabled: Whether there are any.
    """

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._budget = 0  # in fetches; below 0: that many are still to pay

    def delay_s(self, recent: RecentFetches) -> float | None:
        """Returns the age in seconds at which a fetch counts as slow; None: nothing is sent again at present."""
        if not self._enabled or len(recent) < _LEAST_KNOWN or recent.mean_size_bytes > LARGE_BYTES:
            return None
        return max(_SHORTEST_DELAY_S, P95_MULTIPLE * recent.p95_s)

    def earn(self) -> None:
        """To be called for each fetch that ended well."""
        self._budget = min(_BURST, self._budget + 1)

    def spend(self) -> bool:
        """Takes one further attempt from the budget; False: there is none left."""
        if self._budget < FETCHES_PER_HEDGE:
            return False
        self._budget -= FETCHES_PER_HEDGE
        return True

    def charge(self, again: SentAgain, size_bytes: int, mean_bytes: float) -> None:
        """Takes the rest of the price of a body that was sent again and turned out larger than others.

        Where few objects are large, these are the slow ones, and would be sent again and again. It is bounded, so that
        small ones are sent again at last.
        """
        if size_bytes > mean_bytes > 0:
            rest = round((again.sent - 1) * FETCHES_PER_HEDGE * (size_bytes / mean_bytes - 1))
            self._budget = max(-_BURST, self._budget - rest)


class SentAgain:
    """What was sent again of one fetch.

    Attributes:
        live: Runs of the fetch that are out, the first one included.
        sent: Runs in all.
        last_s: When the last of them began.
    """

    __slots__ = ("last_s", "live", "sent")

    def __init__(self, first_s: float) -> None:
        self.live = self.sent = 1
        self.last_s = first_s

    def may_follow(self, slow_since_s: float) -> bool:
        """Whether the last run is slow, too, and there may be another."""
        return self.sent < MOST_RUNS and self.last_s <= slow_since_s

    def add(self, now_s: float) -> None:
        """Takes in that another run begins."""
        self.live += 1
        self.sent += 1
        self.last_s = now_s
