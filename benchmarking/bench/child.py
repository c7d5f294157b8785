"""One run of one loader, as a process of its own does it."""

from __future__ import annotations

from typing import Any

from benchmarking.bench.loaders.protocol import Knobs
from benchmarking.bench.loaders.registry import make_loaders
from benchmarking.bench.measure import Measurement, measure
from benchmarking.bench.workloads import Workload


def run_order(order: dict[str, Any]) -> Measurement:
    """Does what `runner.make_order` says."""
    workload = Workload(**order["workload"])
    adapter = make_loaders(Knobs(**order["knobs"]))[order["loader"]]
    return measure(
        lambda: adapter.build(workload),
        batches=workload.samples // workload.batch_size,
        batch_size=workload.batch_size,
        wave=adapter.wave(workload.batch_size),
        max_s=order["max_s"],
    )
