"""One attempt of the engine's at a fetch."""

from __future__ import annotations

from collections.abc import Callable

from concurrent_dataloader.dataloader_mod.pending import Fetch


class Run:
    """What a pool thread or task carries out.

    It is also what a store reports to (`request_events.RequestListener`).

    Args:
        on_retry: Called with whether the store throttles when it tries the request again.
        fetch: What is attempted.
        started_s: When it began, in monotonic seconds.
        is_hedge: Whether an earlier attempt is out.

    Attributes:
        retries: How often the store has tried the request again.
    """

    __slots__ = ("_on_retry", "fetch", "is_hedge", "retries", "started_s")

    def __init__(
        self, on_retry: Callable[[bool], None], fetch: Fetch, started_s: float, *, is_hedge: bool = False
    ) -> None:
        self._on_retry, self.fetch, self.started_s, self.is_hedge = on_retry, fetch, started_s, is_hedge
        self.retries = 0

    def retrying(self, *, throttled: bool) -> None:
        """Hears that the store tries again."""
        self.retries += 1
        self._on_retry(throttled)
