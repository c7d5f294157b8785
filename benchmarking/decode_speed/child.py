"""One run of one loader, as a process of its own does it."""

from __future__ import annotations

from typing import Any

from benchmarking.bench.measure import Measurement, measure
from benchmarking.bench.workloads import Workload
from benchmarking.decode_speed.variants import Variant


def run_order(order: dict[str, Any]) -> Measurement:
    """Does what `turns.take_turns` says."""
    workload, variant = Workload(**order["workload"]), Variant(**order["variant"])
    return measure(
        lambda: variant.build(workload),
        batches=workload.samples // workload.batch_size,
        batch_size=workload.batch_size,
        wave=variant.wave,
        max_s=order["max_s"],
    )
