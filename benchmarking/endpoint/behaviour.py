"""What decides how a request is answered: a chain of behaviours, each of which may change the verdict.

A behaviour sees every request in the order of arrival and does no I/O, so each is tested without a server. A new one
needs `decide` and a place in `chain.build_chain`.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Literal, Protocol

from benchmarking.endpoint.s3_request import S3Request

DELAYED_KINDS = frozenset({"GET", "HEAD", "LIST"})
BURST_S = 0.1  # a token bucket of this many seconds: S3 too forgives a short burst but no lasting excess
ACCESS_KEY = re.compile(rb"Credential=([^/,\s]+)/")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error that is answered in place of what was asked for.

    Attributes:
        status: HTTP status.
        code: S3's error code.
        message: Text for a reader.
        retry_after_s: Seconds in the Retry-After header; None: no such header.
    """

    status: int
    code: str
    message: str
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """How an answer goes over the wire, where it does not simply go whole.

    Attributes:
        head: Whether status line and headers are sent; without them no body is sent either.
        stop_at: Bytes of the body that are sent; negative: so many are left out; None: all.
        surplus_bytes: Bytes sent beyond the announced body.
        ending: What follows: the connection is kept, closed, reset, or kept open in silence (``"hang"``).
        bytes_per_s: Speed of the body in bytes per second; None: as fast as it goes.
    """

    head: bool = True
    stop_at: int | None = None
    surplus_bytes: int = 0
    ending: Literal["keep", "close", "reset", "hang"] = "keep"
    bytes_per_s: float | None = None


@dataclass(slots=True)
class Verdict:
    """How one request is answered; behaviours change it in turn.

    Attributes:
        delay_s: Seconds before the answer.
        refusal: The error that is answered; None: what was asked for.
        transfer: How the answer goes over the wire; None: whole, and the connection is kept.
        lagging_keys: Shell pattern of the keys that a listing shows as they once were; None: of none.
    """

    delay_s: float = 0.0
    refusal: Refusal | None = None
    transfer: Transfer | None = None
    lagging_keys: str | None = None


class Behaviour(Protocol):
    """Decides on one aspect of an answer."""

    def decide(self, request: S3Request, verdict: Verdict) -> None:
        """Changes the verdict on a request, or leaves it alone."""
        ...


class Latency:
    """Adds a delay to every GET, HEAD and LIST, refused or not: a refusal too has to travel."""

    def __init__(self, latency_s: float, jitter: float, random_source: random.Random) -> None:
        """Takes the mean delay in seconds and the share by which it varies to both sides."""
        self._latency_s = latency_s
        self._jitter = jitter
        self._random = random_source

    def decide(self, request: S3Request, verdict: Verdict) -> None:
        """Adds the delay."""
        if request.kind in DELAYED_KINDS:
            factor = 1.0 + self._jitter * (2.0 * self._random.random() - 1.0) if self._jitter else 1.0
            verdict.delay_s += self._latency_s * factor


class SlowTail:
    """Makes a share of the GETs much slower than the rest, as real object storage does."""

    def __init__(self, fraction: float, extra_s: float, random_source: random.Random) -> None:
        """Takes the share of slow GETs and the seconds added to them."""
        self._fraction = fraction
        self._extra_s = extra_s
        self._random = random_source

    def decide(self, request: S3Request, verdict: Verdict) -> None:
        """Adds the seconds to the GETs that are drawn; refused ones draw nothing."""
        if request.kind == "GET" and verdict.refusal is None and self._random.random() < self._fraction:
            verdict.delay_s += self._extra_s


class Throttle:
    """Refuses with 503 SlowDown what exceeds a rate or a number in flight; refused requests use up neither."""

    def __init__(self, max_requests_per_s: float | None, max_in_flight: int | None) -> None:
        """Takes the limits: requests per second, requests being served at once; None: no such limit."""
        self._rate = max_requests_per_s
        self._max_in_flight = max_in_flight
        self._capacity = max(1.0, (max_requests_per_s or 0.0) * BURST_S)
        self._tokens = self._capacity
        self._refilled_s: float | None = None

    def decide(self, request: S3Request, verdict: Verdict) -> None:
        """Refuses the request where a limit is reached."""
        if verdict.refusal is not None:
            return
        full = self._max_in_flight is not None and request.serving >= self._max_in_flight
        if full or not self._take_token(request.arrived_s):
            verdict.refusal = Refusal(503, "SlowDown", "Please reduce your request rate.")

    def _take_token(self, now_s: float) -> bool:
        if self._rate is None:
            return True
        elapsed_s = 0.0 if self._refilled_s is None else now_s - self._refilled_s
        self._refilled_s = now_s
        self._tokens = min(self._capacity, self._tokens + elapsed_s * self._rate)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class Authentication:
    """Refuses other access keys and outdated session tokens; signatures are not looked at."""

    def __init__(self, access_key: str | None, session_token: str | None) -> None:
        """Takes what is expected; None: anything will do."""
        self._access_key = None if access_key is None else access_key.encode()
        self._session_token = None if session_token is None else session_token.encode()

    def decide(self, request: S3Request, verdict: Verdict) -> None:
        """Answers 403 AccessDenied or 400 ExpiredToken where the credentials are not the expected ones."""
        found = ACCESS_KEY.search(request.http.header(b"authorization") or b"")
        if self._access_key is not None and (found is None or found[1] != self._access_key):
            verdict.refusal = Refusal(403, "AccessDenied", "Access Denied")
        elif self._session_token not in (None, request.http.header(b"x-amz-security-token")):
            verdict.refusal = Refusal(400, "ExpiredToken", "The provided token has expired.")
