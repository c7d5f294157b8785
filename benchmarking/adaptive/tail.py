"""One GET in a hundred takes a second more: what second attempts are worth, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from benchmarking.adaptive.run import run
from benchmarking.endpoint import S3Endpoint

TAIL_FRACTION, TAIL_EXTRA_S = 0.01, 1.0
COUNTED_S = (3.0, 7.0)  # of each run, in seconds after the first batch: "auto" has found its number


@dataclass
class Tail:
    """Samples per second of each round, in order.

    Attributes:
        plain: Without slow GETs.
        hedged: With them, the slow ones sent again.
        unhedged: With them, and ``hedging=False``.
        requests: Requests per sample that arrived, of the hedged runs.
        wrong: Samples lost, doubled or out of order in all runs.
    """

    plain: list[float] = field(default_factory=list)
    hedged: list[float] = field(default_factory=list)
    unhedged: list[float] = field(default_factory=list)
    requests: list[float] = field(default_factory=list)
    wrong: int = 0


def measure_tail(dataset: Any, endpoint: S3Endpoint, rounds: int, options: dict[str, Any]) -> Tail:
    """Measures the three ways in turn in each round."""
    found = Tail()
    for seed in range(rounds):
        for name, fraction, hedging in (
            ("plain", 0.0, True),
            ("hedged", TAIL_FRACTION, True),
            ("unhedged", TAIL_FRACTION, False),
        ):
            endpoint.configure(tail_fraction=fraction, tail_extra_s=TAIL_EXTRA_S)
            endpoint.reset_stats()
            trace = run(dataset, COUNTED_S[1] + 0.2, seed=seed, hedging=hedging, **options)
            getattr(found, name).append(trace.rate(*COUNTED_S, of="samples"))
            found.wrong += trace.wrong
            if name == "hedged":
                last = trace.looks[-1]
                found.requests.append(1 + last.hedges / last.fetches)
    return found
