"""The clients of one store: one for first attempts, others for those that follow a failure."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from concurrent_dataloader.storage.process_local import ProcessLocal
from concurrent_dataloader.storage.request_options import RequestOptions
from concurrent_dataloader.storage.retry import LAST_TIER, Attempt, time_limit_s

T = TypeVar("T")


class Limits(NamedTuple):
    """What a client is built with.

    Attributes:
        attempt_s: How long an attempt may take in all, in seconds.
        connect_timeout_s: Longest wait for a connection, in seconds.
        read_timeout_s: Longest silence of a connection, in seconds.
        keep_connections: Whether a connection may serve one request after another.
        max_attempts: Attempts that the client makes by itself: 1, but for listings.
    """

    attempt_s: float
    connect_timeout_s: float
    read_timeout_s: float
    keep_connections: bool
    max_attempts: int = 1


def limits_of(options: RequestOptions, tier: int) -> Limits:
    """Returns the limits of a tier's client; waiting for the connection and for the answer fit in the attempt."""
    attempt_s = time_limit_s(options.deadline_s, tier)
    connect_s, read_s = (min(each, attempt_s / 2.0) for each in (options.connect_timeout_s, options.read_timeout_s))
    return Limits(attempt_s, connect_s, read_s, keep_connections=tier == 0)


def listing_limits_of(options: RequestOptions) -> Limits:
    """Returns the limits of a client that lists page after page, and has to repeat a page and not the listing."""
    times = (options.deadline_s, options.connect_timeout_s, options.read_timeout_s)
    return Limits(*times, keep_connections=True, max_attempts=options.max_attempts)


class AttemptClients(Generic[T]):
    """Clients by `Attempt.tier`, each built when it is first needed, once per process.

    Those of later attempts keep no connection: a new one each time leads past a host that died, or a load balancer that
    forgot about the kept ones. They cost nothing in a process without failures.

    Args:
        build: Makes a client.
        options: The limits of a request.
    """

    def __init__(self, build: Callable[[Limits], T], options: RequestOptions) -> None:
        self._builders = [functools.partial(build, limits_of(options, tier)) for tier in range(LAST_TIER + 1)]
        self.reset()

    def reset(self) -> None:
        """Builds the clients anew when they are next needed; requests that run keep theirs."""
        self._clients = [ProcessLocal(builder) for builder in self._builders]

    def get(self, attempt: Attempt | None = None) -> T:
        """Returns this process's client for an attempt; None stands for a first one."""
        return self._clients[attempt.tier if attempt else 0].get()

    def peek(self) -> T | None:
        """Returns this process's client for first attempts if it has been built, else None."""
        return self._clients[0].peek()
