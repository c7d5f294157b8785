"""One run of a loader for some seconds: what it had fetched, and how many it had in flight, at each moment."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarking.adaptive.objects import OrderCheck, make_order
from concurrent_dataloader import DataLoader

BATCH_SIZE = 64
WORKERS = 2
LOOK_EVERY_S = 0.05  # between two looks at the loader's counters


@dataclass(frozen=True)
class Look:
    """The loader's counters at one moment, all workers together.

    Attributes:
        at_s: Seconds since the first batch.
        fetches: Fetches that ended well.
        samples: Samples that the caller has got.
        in_flight: Fetches in flight.
        limit: Fetches that may be in flight.
        hedges: Second attempts.
    """

    at_s: float
    fetches: int
    samples: int
    in_flight: int
    limit: int
    hedges: int


@dataclass
class Trace:
    """A run, look by look.

    Attributes:
        looks: In the order of time.
        wrong: Samples that were not the ones whose turn it was.
    """

    looks: list[Look] = field(default_factory=list)
    wrong: int = 0

    def rate(self, start_s: float, end_s: float, of: str = "fetches") -> float:
        """Returns the growth of a count per second between two moments.

        Raises:
            ValueError: The run was too short.
        """
        first, last = self._at(start_s), self._at(end_s)
        grown: float = getattr(last, of) - getattr(first, of)
        seconds: float = last.at_s - first.at_s
        return grown / seconds

    def mean(self, of: str, start_s: float, end_s: float) -> float:
        """Returns the mean of a state between two moments."""
        values: list[float] = [getattr(look, of) for look in self.looks if start_s <= look.at_s <= end_s]
        return sum(values) / len(values)

    def first_s(self, rate: float, start_s: float, span_s: float) -> float | None:
        """Returns the first moment after ``start_s`` that begins a span with such a rate; None if there is none."""
        for look in self.looks:
            whole = start_s <= look.at_s <= self.looks[-1].at_s - span_s
            if whole and self.rate(look.at_s, look.at_s + span_s) >= rate:
                return look.at_s
        return None

    def _at(self, at_s: float) -> Look:
        place = bisect_left(self.looks, at_s, key=lambda look: look.at_s)
        if place == len(self.looks):
            raise ValueError(f"the run ended {self.looks[-1].at_s:.2f} s after the first batch, before {at_s:g} s")
        return self.looks[place]


def run(
    dataset: Any,
    seconds: float,
    *,
    seed: int = 0,
    events: Mapping[float, Callable[[], object]] | None = None,
    **options: Any,
) -> Trace:
    """Reads a dataset in shuffled order with two workers.

    Args:
        dataset: What is read; its samples begin with their number.
        seconds: How long, from the first batch on.
        seed: Of the order.
        events: What is to be called at which second after the first batch.
        **options: Of `DataLoader`.
    """
    order = make_order(len(dataset), seed)
    check, trace, due = OrderCheck(order), Trace(), sorted((events or {}).items())
    loader = DataLoader(dataset, batch_size=BATCH_SIZE, sampler=order, num_workers=WORKERS, **options)
    started_s, samples = 0.0, 0
    for batch in loader:
        started_s = started_s or time.perf_counter()
        now_s = time.perf_counter() - started_s
        check.look(batch)
        samples += len(batch)
        while due and now_s >= due[0][0]:
            due.pop(0)[1]()
        if not trace.looks or now_s - trace.looks[-1].at_s >= LOOK_EVERY_S:
            trace.looks.append(_look(loader, now_s, samples))
        if now_s > seconds:
            break
    trace.wrong = check.wrong
    return trace


def _look(loader: DataLoader[Any], now_s: float, samples: int) -> Look:
    total = loader.stats().total
    return Look(now_s, total.fetches, samples, total.in_flight, total.fetch_workers, total.hedges)
