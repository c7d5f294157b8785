"""One run of one loader in a process of its own: JSON on stdin says what to run, the measurement goes to stdout."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

from benchmarking.bench.measure import Measurement, measure
from benchmarking.bench.workloads import Workload
from benchmarking.decode_speed.variants import Variant


def run_order(order: dict[str, Any]) -> Measurement:
    """Does what `turns.take_turns` says."""
    workload, variant = Workload(**order["workload"]), Variant(**order["variant"])
    return measure(
        lambda: variant.build(workload), batch_size=workload.batch_size, wave=variant.wave, max_s=order["max_s"]
    )


if __name__ == "__main__":
    print(json.dumps(dataclasses.asdict(run_order(json.load(sys.stdin)))), flush=True)
