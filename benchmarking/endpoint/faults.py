"""Scripted faults: what goes wrong, for which keys, and at which attempt."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from benchmarking.endpoint.behaviour import Refusal, Transfer, Verdict
from benchmarking.endpoint.s3_request import S3Request

ACTIONS = ("status", "reset", "short", "long", "stuck", "drip", "delay", "lag")
S3_CODES = {
    400: "ExpiredToken",
    403: "AccessDenied",
    404: "NoSuchKey",
    429: "TooManyRequests",
    500: "InternalError",
    503: "SlowDown",
}


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong with some of the requests.

    Attributes:
        action: What happens. ``"status"``: an error is answered (`status`, `retry_after_s`). ``"reset"``: the
            connection is reset at `at_byte`. ``"short"``: it is closed `missing_bytes` before the body's end.
            ``"long"``: `surplus_bytes` follow the announced body, then it is closed. ``"stuck"``: from `at_byte` on
            nothing more is sent. ``"drip"``: the body goes at `bytes_per_s`. ``"delay"``: `delay_s` is added.
            ``"lag"``: a listing shows what matches `key` as it was when the script began: not yet what was PUT since,
            still what was deleted, the old size of what was replaced. Reads are not behind.
        key: Shell pattern of the keys it concerns, case-sensitive; ``"*"`` is all.
        kinds: The requests it concerns: any of ``"GET"``, ``"HEAD"``, ``"LIST"``, ``"PUT"``, ``"DELETE"``; a lag
            concerns ``"LIST"`` alone, whatever stands here.
        attempts: The attempts at one key that fail, counted from 1; empty: every one. Pages of listings are counted
            together.
        fraction: Share of the requests so chosen that fail, drawn with the endpoint's seed.
        limit: At most this many requests fail in all, which makes a burst; None: no limit.
        at_byte: Bytes of the body that are still sent; None: not even the header is.
        status: HTTP status of the error.
        code: S3's error code; None: the usual one of the status.
        retry_after_s: Seconds in the Retry-After header; None: no such header.
        missing_bytes: Bytes of the announced body that are left out.
        surplus_bytes: Bytes beyond the announced body.
        bytes_per_s: Speed of a dripping body in bytes per second.
        delay_s: Seconds that are added to the latency.
    """

    action: str
    key: str = "*"
    kinds: tuple[str, ...] = ("GET",)
    attempts: tuple[int, ...] = ()
    fraction: float = 1.0
    limit: int | None = None
    at_byte: int | None = None
    status: int = 503
    code: str | None = None
    retry_after_s: int | None = None
    missing_bytes: int = 1
    surplus_bytes: int = 1
    bytes_per_s: float = 1000.0
    delay_s: float = 1.0

    def __post_init__(self) -> None:
        """Checks the values; JSON's lists become tuples.

        Raises:
            ValueError: A value is out of its range.
        """
        object.__setattr__(self, "kinds", ("LIST",) if self.action == "lag" else tuple(self.kinds))
        object.__setattr__(self, "attempts", tuple(self.attempts))
        if self.action not in ACTIONS:
            raise ValueError(f"fault action {self.action!r} is unknown; expected one of {', '.join(ACTIONS)}")
        if not 0.0 <= self.fraction <= 1.0:
            raise ValueError(f"fault fraction must be within 0 and 1, got {self.fraction!r}")
        if not 400 <= self.status <= 599:
            raise ValueError(f"fault status must be within 400 and 599, got {self.status!r}")
        if self.bytes_per_s <= 0 or self.delay_s < 0 or self.missing_bytes < 1 or self.surplus_bytes < 1:
            raise ValueError(
                "fault bytes_per_s, missing_bytes and surplus_bytes must be positive, delay_s not negative"
            )

    def apply(self, verdict: Verdict) -> None:
        """Puts the fault in a verdict."""
        if self.action == "status":
            code = self.code or S3_CODES.get(self.status, "InternalError")
            verdict.refusal = Refusal(self.status, code, "a scripted fault", self.retry_after_s)
        elif self.action == "delay":
            verdict.delay_s += self.delay_s
        elif self.action == "lag":
            verdict.lagging_keys = self.key
        else:
            verdict.transfer = self._transfer()

    def _transfer(self) -> Transfer:
        match self.action:
            case "reset":
                return Transfer(stop_at=self.at_byte, ending="reset", head=self.at_byte is not None)
            case "stuck":
                return Transfer(stop_at=self.at_byte, ending="hang", head=self.at_byte is not None)
            case "short":
                return Transfer(stop_at=-self.missing_bytes, ending="close")
            case "long":
                return Transfer(surplus_bytes=self.surplus_bytes, ending="close")
            case _:
                return Transfer(bytes_per_s=self.bytes_per_s)


class FaultScript:
    """The behaviour that runs a list of faults: the first that fits a request is applied."""

    def __init__(self, faults: tuple[Fault, ...], random_source: random.Random, fired: Counter[str]) -> None:
        """Starts the script at its beginning.

        Args:
            faults: The faults, the first that fits wins.
            random_source: Draws for `Fault.fraction`.
            fired: Counts the faults that were applied, by action.
        """
        self._faults = faults
        self._random = random_source
        self._fired = fired
        self._attempts: Counter[tuple[str, str]] = Counter()
        self._used: Counter[int] = Counter()

    def decide(self, request: S3Request, verdict: Verdict) -> None:
        """Applies the first fault that fits; a request that was refused already is left alone."""
        if verdict.refusal is not None:
            return
        self._attempts[request.kind, request.key] += 1
        for number, fault in enumerate(self._faults):
            if self._fits(number, fault, request):
                self._used[number] += 1
                self._fired[fault.action] += 1
                fault.apply(verdict)
                return

    def _fits(self, number: int, fault: Fault, request: S3Request) -> bool:
        attempt = self._attempts[request.kind, request.key]
        return (
            request.kind in fault.kinds
            and (fault.action == "lag" or fnmatchcase(request.key, fault.key))  # a lag's pattern is for what is listed
            and (not fault.attempts or attempt in fault.attempts)
            and (fault.limit is None or self._used[number] < fault.limit)
            and (fault.fraction >= 1.0 or self._random.random() < fault.fraction)
        )


def faults_from_json(entries: Any) -> tuple[Fault, ...]:
    """Returns the faults of a JSON list of objects.

    Raises:
        ValueError: An entry is no fault.
    """
    if not isinstance(entries, (list, tuple)):
        raise ValueError("faults must be a list")
    try:
        return tuple(entry if isinstance(entry, Fault) else Fault(**entry) for entry in entries)
    except TypeError as error:
        raise ValueError(f"a fault has a wrong entry: {error}") from error
