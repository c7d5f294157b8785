"""The attempts of one request: which failures are worth another, after which pause, and the error at the end.

The one loop for all clients, so that each retry is counted and heard of, and all clients keep the same deadline. The
clients' own loops are off. botocore's ends before the body is read, which is where most connections break; its standard
mode shares a budget among all threads, so that a storm of 503s fails requests without a second attempt; and it draws
its jitter from ``random``'s global generator, which would change a user's augmentations.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from concurrent_dataloader._base.errors import IncompleteBody, StorageError
from concurrent_dataloader._base.request_events import report_retry
from concurrent_dataloader.storage.daemon_call import in_daemon_thread

T = TypeVar("T")

FIRST_PAUSE_S = 0.1  # seconds, upper end of the first pause: obstore's default, so that all clients back off alike
MAX_PAUSE_S = 5.0  # seconds: ten attempts then span about half a minute, the length of a burst of throttling on S3
LAST_TIER = 6  # the shortest attempt gets a 64th of the deadline: 2 s by default, enough for any object that is small

# A generator of our own, without state that a fork could copy: workers must not retry in step, nor move `random`'s.
_jitter = random.SystemRandom()

_began_s: ContextVar[float | None] = ContextVar("request_began_s", default=None)


@contextlib.contextmanager
def as_begun(start_s: float) -> Iterator[None]:
    """Makes the requests of this thread or task count as begun then, in seconds of ``time.monotonic``."""
    token = _began_s.set(start_s)
    try:
        yield
    finally:
        _began_s.reset(token)


def request_start_s() -> float:
    """Returns when a request made here began, in seconds of ``time.monotonic``: now, or see `as_begun`."""
    began_s = _began_s.get()
    return time.monotonic() if began_s is None else began_s


@dataclass(frozen=True, slots=True)
class Failure:
    """What a client's exception means for the request.

    Attributes:
        error: The class of ours that a caller will see.
        detail: The cause in one line, without secrets.
        transient: Whether another attempt may succeed.
        throttled: Whether the store refused the request for coming too fast.
        expired: Whether the credentials were refused as too old, so that newer ones may do.
        retry_after_s: Seconds that the store asked to wait; None if it did not, or the client does not show it.
        attempts: Attempts that the client made by itself before it gave up.
        cause: Stands in for the client's exception as the error's cause, where that one may hold a secret.
    """

    error: type[StorageError]
    detail: str
    transient: bool = False
    throttled: bool = False
    retry_after_s: float | None = None
    attempts: int = 1
    expired: bool = False
    cause: Exception | None = None


class Attempt(NamedTuple):
    """What an attempt may do.

    Attributes:
        begun_s: When it began, in seconds of ``time.monotonic``.
        tier: 0 for the first attempt. A later one has to use a fresh connection, since a kept one may lead to the host
            that just failed; its tier stands for the time that it gets (see `time_limit_s`).
        ends_s: When it has to be over, body included, in seconds of ``time.monotonic``.
    """

    tier: int
    begun_s: float
    ends_s: float

    @property
    def rest_s(self) -> float:
        """Seconds that are left; 0 or less once its time is up."""
        return self.ends_s - time.monotonic()


def time_limit_s(deadline_s: float, tier: int) -> float:
    """Returns how long an attempt of a tier may take: half of the deadline, then half of that, and so on.

    Fixed steps, since obstore and botocore set time limits per client, not per request.
    """
    return deadline_s / 2.0 ** max(1, tier)


@dataclass(frozen=True, slots=True)
class Retrying:
    """Runs requests until they succeed, fail for good, or run out of attempts or time.

    Args:
        max_attempts: Attempts per request, the first one included.
        deadline_s: Seconds from the request's start to the end of its last attempt, pauses and bodies included. It
            holds as long as each attempt keeps to `Attempt.ends_s`.
        classify: Tells what a client's exception means; None lets the exception pass as it is.
        renew: Called once per request whose credentials have expired, with the attempt's start; returns whether there
            are newer ones. It may block.
    """

    max_attempts: int
    deadline_s: float
    classify: Callable[[Exception], Failure | None]
    renew: Callable[[float], bool] | None = None

    def call(self, run: Callable[[Attempt], T], target: Callable[[], str], start_s: float | None = None) -> T:
        """Returns what ``run`` returns.

        Args:
            run: Makes one attempt.
            target: Names the object for the error's message.
            start_s: When the request began, in seconds of ``time.monotonic``; None: now.
        """
        attempts = _Attempts(self, start_s)
        while True:
            try:
                return run(attempts.next)
            except Exception as error:  # noqa: BLE001 the client's classes are known to `classify`, which loads them
                pause_s = attempts.pause_after(error, target)
            if attempts.expired is not None and self.renew is not None:
                attempts.renewed(self.renew(attempts.next.begun_s))
            time.sleep(pause_s)

    async def acall(
        self, run: Callable[[Attempt], Awaitable[T]], target: Callable[[], str], start_s: float | None = None
    ) -> T:
        """Like `call`, on the running event loop."""
        attempts = _Attempts(self, start_s)
        while True:
            try:
                return await run(attempts.next)
            except Exception as error:  # noqa: BLE001 as in `call`; a cancellation is no Exception and passes
                pause_s = attempts.pause_after(error, target)
            if attempts.expired is not None and self.renew is not None:
                attempts.renewed(await in_daemon_thread(functools.partial(self.renew, attempts.next.begun_s)))
            await asyncio.sleep(pause_s)


class _Attempts:
    """Counts one request's attempts and decides what follows a failure; does no I/O and does not sleep."""

    __slots__ = ("_count", "_rules", "_start_s", "_was_renewed", "expired", "next")

    def __init__(self, rules: Retrying, start_s: float | None) -> None:
        self._rules = rules
        self._count = 0
        self._was_renewed = False
        self.expired: StorageError | None = None  # to be raised unless there are newer credentials
        self._start_s = request_start_s() if start_s is None else start_s
        now_s, limit_s = time.monotonic(), time_limit_s(rules.deadline_s, 0)
        rest_s = self._start_s + rules.deadline_s - now_s
        if rest_s >= limit_s:
            self.next = Attempt(0, now_s, now_s + limit_s)
        else:  # a part of a request that began long ago gets what is left of it
            self.next = self._attempt(self._tier(rest_s) or LAST_TIER, now_s)

    def pause_after(self, error: Exception, target: Callable[[], str]) -> float:
        """Returns the pause before the `next` attempt in seconds, or raises the error that ends the request."""
        failure = self._failure(error)
        if failure is None:
            raise error
        self._count += failure.attempts
        now_s = time.monotonic()
        rest_s = self._start_s + self._rules.deadline_s - now_s
        pause_s = self._pause_s(failure, rest_s)
        tier = self._tier(rest_s - pause_s)
        if not failure.transient or tier is None or self._count >= self._rules.max_attempts:
            message = f"{target()}: {failure.detail} ({self._account(failure, now_s)})"
            final = failure.error(message)
            final.__cause__ = failure.cause or error
            if not failure.expired or self._rules.renew is None or self._was_renewed:
                raise final
            self.expired = final
            return 0.0
        report_retry(throttled=failure.throttled)
        self.next = self._attempt(tier, now_s + pause_s)
        return pause_s

    def renewed(self, found: bool) -> None:
        """Takes in whether there are newer credentials: with them one more attempt is worth its while."""
        if self.expired is not None and not found:
            raise self.expired
        report_retry(throttled=False)
        self.expired, self._was_renewed = None, True
        self.next = self._attempt(self.next.tier, time.monotonic())

    def _attempt(self, tier: int, begun_s: float) -> Attempt:
        return Attempt(tier, begun_s, begun_s + time_limit_s(self._rules.deadline_s, tier))

    def _pause_s(self, failure: Failure, rest_s: float) -> float:
        longest_s = min(MAX_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (self._count - 1), max(0.0, rest_s / 2.0))
        pause_s = _jitter.uniform(0.0, longest_s)
        if failure.retry_after_s is None:
            return pause_s
        # Jitter on top, so that those who were told the same do not come back together; and never more than half of
        # what is left, since a store that says an hour often means a minute.
        return min(failure.retry_after_s + pause_s, max(0.0, rest_s / 2.0))

    def _tier(self, rest_s: float) -> int | None:
        """Returns the tier whose attempts are the longest that end in time; None if there is none."""
        tiers = range(1, LAST_TIER + 1)
        return next((tier for tier in tiers if time_limit_s(self._rules.deadline_s, tier) <= rest_s), None)

    def _account(self, failure: Failure, now_s: float) -> str:
        elapsed_s = now_s - self._start_s
        if not failure.transient:
            return f"attempts: {self._count}, {elapsed_s:.1f} s"
        return f"attempts: {self._count}, {elapsed_s:.1f} of {self._rules.deadline_s:g} s"

    def _failure(self, error: Exception) -> Failure | None:
        if isinstance(error, IncompleteBody):  # found by our own check of the length
            return Failure(IncompleteBody, str(error), transient=True)
        return None if isinstance(error, StorageError) else self._rules.classify(error)


def check_length(received: int, announced: int) -> None:
    """Raises IncompleteBody unless as many bytes arrived as the store had announced."""
    if received != announced:
        raise IncompleteBody(f"{received} bytes arrived, {announced} were announced")
