"""The text that a run prints: its medians, and which targets they reach."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarking.bench.loaders.protocol import Knobs
from benchmarking.bench.loaders.registry import OURS, make_loaders
from benchmarking.bench.summary import Medians, table
from benchmarking.bench.targets import SMALL, Target, check_targets, targets_table
from benchmarking.bench.workloads import KINDS


def targets_of(medians: Iterable[Medians], knobs: Knobs, latencies_ms: Iterable[float]) -> list[Target]:
    """Returns the targets that were measured, those with a latency at the highest of the latencies."""
    in_flight = make_loaders(knobs)[OURS].in_flight(KINDS[SMALL].batch_size)
    return check_targets(medians, latency_s=max(latencies_ms, default=0.0) / 1000, in_flight=in_flight)


def report(medians: Iterable[Medians], targets: Sequence[Target]) -> str:
    """Returns the tables, in Markdown."""
    tables = [table(medians), *([targets_table(targets)] if targets else [])]
    return "\n\n".join(tables)
