"""A store that refuses what comes too fast: how much of the allowed rate is used, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from benchmarking.adaptive.run import WORKERS, Trace, run
from benchmarking.endpoint import EndpointStats, S3Endpoint

LIMITS: dict[str, dict[str, float]] = {"rate": {"max_requests_per_s": 1000.0}, "in-flight": {"max_in_flight": 32}}
"""The endpoint's settings, by what they limit."""
FREE: dict[str, None] = {"max_requests_per_s": None, "max_in_flight": None}
FREE_S = (4.0, 7.0)  # of the run without a limit
COUNTED_S = (3.0, 9.0)  # seconds after the first batch; at the end of it the limit goes
END_S = 17.0
SPAN_S = 0.5  # for so long the rate has to hold to count as recovered
RECOVERED = 0.85  # of the rate without a limit


@dataclass
class Throttled:
    """What each round came to.

    Attributes:
        allowed: Requests per second that the endpoint serves: its limit, or what a loader without throttling gets with
            just its number in flight.
        goodput: Fetches per second under the limit.
        requests: Requests per fetch under the limit, refused ones included.
        free: Fetches per second without a limit.
        recovery_s: Seconds from the limit's end until the rate is back; None: it was not within the run.
        wrong: Samples lost, doubled or out of order.
    """

    allowed: list[float] = field(default_factory=list)
    goodput: list[float] = field(default_factory=list)
    requests: list[float] = field(default_factory=list)
    free: list[float] = field(default_factory=list)
    recovery_s: list[float | None] = field(default_factory=list)
    wrong: int = 0


def measure_throttle(dataset: Any, endpoint: S3Endpoint, limit: dict[str, float], rounds: int) -> Throttled:
    """Measures a run without a limit, and one whose limit goes at half time, in each round."""
    found = Throttled()
    for seed in range(rounds):
        endpoint.configure(**FREE)
        found.allowed.append(limit.get("max_requests_per_s") or _rate_of(dataset, int(limit["max_in_flight"]), seed))
        free = run(dataset, FREE_S[1] + 0.2, seed=seed).rate(*FREE_S)
        found.free.append(free)
        counts: list[EndpointStats] = []
        endpoint.configure(**limit)

        def end_limit(counts: list[EndpointStats] = counts) -> None:
            counts.append(endpoint.stats())
            endpoint.configure(**FREE)

        events = {COUNTED_S[0]: endpoint.reset_stats, COUNTED_S[1]: end_limit}
        _add(found, run(dataset, END_S, seed=seed, events=events), counts[0], free)
    return found


def _rate_of(dataset: Any, in_flight: int, seed: int) -> float:
    """Fetches per second with just so many in flight."""
    return run(dataset, FREE_S[1] + 0.2, seed=seed, num_fetch_workers=in_flight // WORKERS).rate(*FREE_S)


def _add(found: Throttled, trace: Trace, counted: EndpointStats, free: float) -> None:
    served = counted.statuses.get("200", 0) + counted.statuses.get("206", 0)
    goodput = trace.rate(*COUNTED_S)
    found.goodput.append(goodput)
    found.requests.append(counted.requests.get("GET", 0) / max(1, served))
    back_s = trace.first_s(RECOVERED * free, COUNTED_S[1], SPAN_S)
    found.recovery_s.append(None if back_s is None else back_s - COUNTED_S[1])
    found.wrong += trace.wrong
