"""The attempts of one request: which failures are worth another, after which pause, and the error at the end.

The loop is ours for three reasons. botocore's own retries end before the body is read, which is where most connections
break; their standard mode shares a budget among all threads, so that a storm of 503s fails requests without a second
attempt; and they draw their jitter from ``random``'s global generator, which would change a user's augmentations.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from concurrent_dataloader._base.errors import IncompleteBody, StorageError

T = TypeVar("T")

FIRST_PAUSE_S = 0.1  # seconds, upper end of the first pause: obstore's default, so that all clients back off alike
MAX_PAUSE_S = 5.0  # seconds: ten attempts then span about half a minute, the length of a burst of throttling on S3

# A generator of our own, without state that a fork could copy: workers must not retry in step, nor move `random`'s.
_jitter = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Failure:
    """What a client's exception means for the request.

    Attributes:
        error: The class of ours that a caller will see.
        detail: The cause in one line, without secrets.
        transient: Whether another attempt may succeed.
        attempts: Attempts that the client made by itself before it gave up; None where it does not say.
    """

    error: type[StorageError]
    detail: str
    transient: bool = False
    attempts: int | None = 1


@dataclass(frozen=True, slots=True)
class Retrying:
    """Runs requests until they succeed, fail for good, or run out of attempts or time.

    Args:
        max_attempts: Attempts per request, the first one included.
        deadline_s: No attempt starts later than this, in seconds after the request's start.
        classify: Tells what a client's exception means; None lets the exception pass as it is.
    """

    max_attempts: int
    deadline_s: float
    classify: Callable[[Exception], Failure | None]

    def call(self, attempt: Callable[[], T], target: Callable[[], str]) -> T:
        """Returns what ``attempt`` returns; ``target`` names the object for the error's message."""
        attempts = _Attempts(self)
        while True:
            try:
                return attempt()
            except Exception as error:  # noqa: BLE001 the client's classes are known to `classify`, which loads them
                pause_s = attempts.pause_after(error, target)
            time.sleep(pause_s)

    async def acall(self, attempt: Callable[[], Awaitable[T]], target: Callable[[], str]) -> T:
        """Like `call`, on the running event loop."""
        attempts = _Attempts(self)
        while True:
            try:
                return await attempt()
            except Exception as error:  # noqa: BLE001 as in `call`; a cancellation is no Exception and passes
                pause_s = attempts.pause_after(error, target)
            await asyncio.sleep(pause_s)


class _Attempts:
    """Counts one request's attempts and decides what follows a failure; does no I/O and does not sleep."""

    def __init__(self, rules: Retrying) -> None:
        self._rules = rules
        self._count = 0
        self._start_s = time.monotonic()

    def pause_after(self, error: Exception, target: Callable[[], str]) -> float:
        """Returns the pause before the next attempt in seconds, or raises the error that ends the request."""
        failure = self._failure(error)
        if failure is None:
            raise error
        self._count += failure.attempts or 1
        elapsed_s = time.monotonic() - self._start_s
        pause_s = _jitter.uniform(0.0, min(MAX_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (self._count - 1)))
        may_try = self._count < self._rules.max_attempts and elapsed_s + pause_s < self._rules.deadline_s
        if failure.transient and may_try:
            return pause_s
        count = f"{self._count}" if failure.attempts else f"at most {self._rules.max_attempts}"
        raise failure.error(f"{target()}: {failure.detail} (attempts: {count}, {elapsed_s:.1f} s)") from error

    def _failure(self, error: Exception) -> Failure | None:
        if isinstance(error, IncompleteBody):  # found by our own check of the length
            return Failure(IncompleteBody, str(error), transient=True)
        return None if isinstance(error, StorageError) else self._rules.classify(error)


def check_length(received: int, announced: int) -> None:
    """Raises IncompleteBody unless as many bytes arrived as the store had announced."""
    if received != announced:
        raise IncompleteBody(f"{received} bytes arrived, {announced} were announced")


_DETAIL_LIMIT = 300  # characters: room for a status, an error code and its sentence


def scrub(text: str) -> str:
    """Returns the text as one short line without URL queries (signatures) and without credentials in URLs."""
    text = re.sub(r"(?<=//)[^/@\s]+@", "***@", text)
    text = re.sub(r"(?<=\S)\?[^\s\"'>)]*=[^\s\"'>)]*", "?***", text)
    text = " ".join(text.split())
    return text if len(text) <= _DETAIL_LIMIT else text[: _DETAIL_LIMIT - 1] + "…"
