"""Lets the loaders take turns: round by round, each run in a process of its own, all against one endpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from benchmarking.bench.measure import Measurement
from benchmarking.bench.objects import make_objects
from benchmarking.bench.own_process import run_child
from benchmarking.bench.runner import machine_busy_s
from benchmarking.bench.workloads import BUCKET, KINDS, Workload
from benchmarking.decode_speed.child import run_order
from benchmarking.decode_speed.variants import Variant
from benchmarking.endpoint import S3Endpoint

BATCH_SIZE = 64
LATENCY_S = 0.1
SAMPLES_PER_S = 1000.0  # what two cores reach, about; only the lengths of the runs depend on it
SETUP_ALLOWANCE_S = 60.0  # imports, workers' start, the first wave; far above what any loader needs


@dataclass(frozen=True)
class Run:
    """One run of one loader.

    Attributes:
        variant: Which.
        round: Number of the round, from 0.
        measurement: What was measured; None: the run failed.
        error: Why it failed.
        endpoint_cpu_s: CPU seconds of the endpoint's process, which has the same cores.
        others_cpu: CPUs that were busy meanwhile with neither of the two, on average: noise of the machine.
    """

    variant: Variant
    round: int
    measurement: Measurement | None
    error: str
    endpoint_cpu_s: float
    others_cpu: float


def take_turns(
    variants: Sequence[Variant], folder: Path, *, rounds: int, seconds: float, on_start: Callable[[str], None]
) -> Iterator[Run]:
    """Yields the runs.

    Args:
        variants: The loaders, in the order of a round.
        folder: Where to write the pictures.
        rounds: Number of rounds.
        seconds: Length of a run, about; a run is cut when it has taken twice as long.
        on_start: Told in words of each run before it starts.
    """
    make_objects(KINDS["jpeg"], folder)
    with S3Endpoint(folder, bucket=BUCKET, latency_s=LATENCY_S) as endpoint:
        for number in range(rounds):
            for variant in variants:
                on_start(f"round {number + 1}: {variant.place}, {variant.name}, {variant.workers} workers")
                samples = sample_count(variant, seconds)
                workload = Workload("jpeg", LATENCY_S, BATCH_SIZE, samples, number, str(folder), endpoint.url)
                yield _run(variant, workload, endpoint, number, seconds)


def sample_count(variant: Variant, seconds: float) -> int:
    """Returns how many samples make a run of about so many seconds: whole waves, and two of them at least."""
    per_wave = variant.wave * BATCH_SIZE
    return max(2, 1 + round(SAMPLES_PER_S * seconds / per_wave)) * per_wave


def _run(variant: Variant, workload: Workload, endpoint: S3Endpoint, number: int, seconds: float) -> Run:
    endpoint.reset_stats()
    order = {
        "variant": dataclasses.asdict(variant),
        "workload": dataclasses.asdict(workload),
        "max_s": 2 * seconds,
    }
    started_s, busy_s = perf_counter(), machine_busy_s()
    measurement, error = run_child(run_order, order, SETUP_ALLOWANCE_S + 8 * seconds)
    elapsed_s, busy_s = perf_counter() - started_s, machine_busy_s() - busy_s
    endpoint_cpu_s = endpoint.stats().cpu_s
    known_s = endpoint_cpu_s + (0.0 if measurement is None else measurement.process_cpu_s)
    return Run(variant, number, measurement, error, endpoint_cpu_s, max(0.0, (busy_s - known_s) / elapsed_s))
