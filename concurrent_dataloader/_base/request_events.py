"""How a store tells the fetch that it works for what happens to its requests.

Stores and the fetch engine know nothing of each other. A store reports here, in the thread or task of the fetch; the
engine listens, so that all of a process's fetches, and all workers, back off together when the store asks for it.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol


class RequestListener(Protocol):
    """Hears what happens to the requests of one fetch; called in the fetch's own thread or task."""

    def retrying(self, *, throttled: bool) -> None:
        """An attempt failed and another will follow.

        Args:
            throttled: Whether the store refused it for coming too fast (503 SlowDown, 429).
        """
        ...


_listener: ContextVar[RequestListener | None] = ContextVar("request_listener", default=None)


def listen(listener: RequestListener | None) -> None:
    """Makes ``listener`` hear of the requests that this thread or task makes from now on; None: nobody does."""
    _listener.set(listener)


def report_retry(*, throttled: bool) -> None:
    """To be called by a store before it tries a request again."""
    listener = _listener.get()
    if listener is not None:
        listener.retrying(throttled=throttled)
