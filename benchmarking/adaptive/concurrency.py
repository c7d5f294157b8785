"""A learnt number in flight against all fixed ones, on one latency and kind of objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarking.adaptive.run import WORKERS, run

FIXED = (8, 16, 32, 64, 128, 256)
"""Fetches in flight per worker."""
BATCH_POOL = 8  # 512 samples per worker: the window is not what limits 256 in flight
COUNTED_S = (5.0, 8.0)
"""What counts of a run, in seconds after the first batch: issue 4 gives "auto" the first 5. It is the same for all: on
some days the first seconds of a run are up to a tenth faster than the next ones, whatever the number."""
NEAR = 0.9  # of the best fixed setting: what is to be reached
HOPELESS = 0.6  # of the best setting of the first round: such a setting is not measured again
MOST_TIMES = 2.0  # the smallest fixed number that comes near: no more may be in flight


@dataclass
class Comparison:
    """Samples per second of each round.

    Attributes:
        fixed: By the number of fetches in flight per worker.
        auto: Of the learnt number.
        limits: What had been learnt, per worker, on average over the time that counts.
        in_flight: What was in flight, per worker, on average.
    """

    fixed: dict[int, list[float]] = field(default_factory=dict)
    auto: list[float] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)
    in_flight: list[float] = field(default_factory=list)

    @property
    def best(self) -> int:
        """The fixed number with the highest median."""
        return max(self.fixed, key=lambda number: median(self.fixed[number]))

    @property
    def needed(self) -> int:
        """The smallest fixed number whose median comes near the best."""
        least = NEAR * median(self.fixed[self.best])
        return min(number for number, rates in self.fixed.items() if median(rates) >= least)

    @property
    def ratio(self) -> float:
        """Learnt / best fixed, medians."""
        return median(self.auto) / median(self.fixed[self.best])

    @property
    def times(self) -> float:
        """Learnt number / the smallest fixed one that comes near the best."""
        return median(self.limits) / self.needed

    def hopeless(self, number: int) -> bool:
        """Whether a fixed number was so slow in the first round that others are not worth its while."""
        best = max((rates[0] for rates in self.fixed.values()), default=0.0)
        return number in self.fixed and self.fixed[number][0] < HOPELESS * best


def compare(dataset: Any, rounds: int) -> Comparison:
    """Measures all settings in turn in each round, and begins each round with another one."""
    found, length_s = Comparison(), COUNTED_S[1] + 0.2
    settings: list[int | str] = [*FIXED, "auto"]
    for seed in range(rounds):
        first = seed % len(settings)
        for number in settings[first:] + settings[:first]:
            if isinstance(number, int) and found.hopeless(number):
                continue
            trace = run(dataset, length_s, seed=seed, num_fetch_workers=number, batch_pool=BATCH_POOL)
            rate = trace.rate(*COUNTED_S)
            if isinstance(number, int):
                found.fixed.setdefault(number, []).append(rate)
            else:
                found.auto.append(rate)
                found.limits.append(trace.mean("limit", *COUNTED_S) / WORKERS)
                found.in_flight.append(trace.mean("in_flight", *COUNTED_S) / WORKERS)
    return found
