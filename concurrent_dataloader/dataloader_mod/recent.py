"""What the last few hundred fetches were like: their latencies and sizes."""

from __future__ import annotations

from collections import deque

WINDOW = 256
"""Fetches that count as recent: 12 lie above their 95th percentile, and a store that changes is soon noticed."""
REFRESH = 16
"""Fetches between two computations of the percentiles: sorting 256 numbers takes some 15 us."""


class RecentFetches:
    """Percentiles of the recent latencies, and the mean size.

    Not thread-safe: whoever owns it holds a lock.
    """

    def __init__(self) -> None:
        self._latencies_s: deque[float] = deque(maxlen=WINDOW)
        self._sizes: deque[int] = deque(maxlen=WINDOW)
        self._sizes_sum = 0
        self._since_refresh = 0
        self.median_s = 0.0
        """Median latency in seconds; 0 before the first fetch."""
        self.p95_s = 0.0
        """95th percentile of the latencies in seconds; 0 before the first fetch."""

    def __len__(self) -> int:
        return len(self._latencies_s)

    @property
    def mean_size_bytes(self) -> float:
        """Mean size of what was fetched; 0 before the first fetch and for what has no size."""
        return self._sizes_sum / len(self._sizes) if self._sizes else 0.0

    def add(self, latency_s: float, size_bytes: int) -> None:
        """Takes in one fetch that ended well."""
        if len(self._sizes) == WINDOW:
            self._sizes_sum -= self._sizes[0]
        self._sizes.append(size_bytes)
        self._sizes_sum += size_bytes
        self._latencies_s.append(latency_s)
        self._since_refresh += 1
        if self._since_refresh >= REFRESH or len(self._latencies_s) < REFRESH:
            self._since_refresh = 0
            ordered = sorted(self._latencies_s)
            self.median_s = ordered[len(ordered) // 2]
            self.p95_s = ordered[int(len(ordered) * 0.95)]
