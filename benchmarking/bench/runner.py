"""Lets the loaders take turns: round by round, each run in a process of its own, all against one endpoint."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarking.bench.child import run_order
from benchmarking.bench.loaders.protocol import Knobs, LoaderAdapter
from benchmarking.bench.loaders.registry import CLIENT_ALONE, LITDATA_HEDGED, OTHER_WORKERS, make_loaders
from benchmarking.bench.measure import Measurement
from benchmarking.bench.own_process import run_child
from benchmarking.bench.workloads import KINDS, SMALLEST, Workload
from benchmarking.endpoint import EndpointStats, S3Endpoint

STARTUP_ALLOWANCE_S = 60.0  # imports, workers' start, the first wave; far above what any loader needs
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Run:
    """One run of one loader on one workload.

    Attributes:
        loader: The loader's name.
        workload: The workload's name.
        round: Number of the round, from 0.
        measurement: What was measured; None: the run failed.
        error: Why it failed.
        requests_per_sample: Requests that the endpoint got, of any kind, per sample; None: the run was cut, and some
            that were asked for never arrived.
        wall_s: Seconds that the run took, start and end of its process included.
        endpoint_cpu_s: CPU seconds of the endpoint's process.
        others_cpu: CPUs that were busy meanwhile with neither of the two, on average: noise of the machine.
    """

    loader: str
    workload: str
    round: int
    measurement: Measurement | None
    error: str = ""
    requests_per_sample: float | None = None
    wall_s: float = 0.0
    endpoint_cpu_s: float = 0.0
    others_cpu: float = 0.0


def sample_count(adapter: LoaderAdapter, workload: Workload, seconds: float, samples_per_s: float = 0.0) -> int:
    """Returns how many samples make a run of about so many seconds: whole waves, the first and the last beside them.

    Two waves do for a loader that reads one body of a batch after another: no batch is begun before its wave.

    Args:
        adapter: The loader.
        workload: What it reads.
        seconds: Length of the run.
        samples_per_s: What the loader reached in the round before; 0: not known, so the most that it can reach.
    """
    rate = samples_per_s or _highest_rate(adapter, workload)
    size, wave = workload.batch_size, adapter.wave(workload.batch_size)
    least = 1 if adapter.in_flight(size) > wave else 0
    return (2 + max(least, round(rate * seconds / (wave * size)))) * wave * size


def _highest_rate(adapter: LoaderAdapter, workload: Workload) -> float:
    kind = KINDS[workload.kind]
    if adapter.reads == "disk":
        return kind.disk_samples_per_s
    rates = [kind.s3_samples_per_s]
    if workload.mean_latency_s:
        rates.append(adapter.in_flight(workload.batch_size) / workload.mean_latency_s)
    if workload.max_requests_per_s:
        rates.append(workload.max_requests_per_s)
    return min(rates)


def take_turns(
    loaders: Iterable[str],
    workloads: Iterable[Workload],
    endpoint: S3Endpoint,
    knobs: Knobs,
    *,
    rounds: int,
    seconds: float,
    on_start: Callable[[str], None],
) -> Iterator[Run]:
    """Yields the runs: in each round every loader runs once on every workload that `is_worth_running` finds.

    Args:
        loaders: Names of the loaders.
        workloads: Templates of the workloads; the number of samples is set for each loader.
        endpoint: Serves the objects; it is set for each run as the workload says.
        knobs: Settings of the loaders.
        rounds: Number of rounds.
        seconds: Length of a run, about; a run is cut when it has taken twice as long.
        on_start: Told in words of each run before it starts.
    """
    loaders, workloads = list(loaders), list(workloads)
    reached: dict[tuple[str, str], float] = {}  # samples per second by workload and loader, in the round before
    for number in range(rounds):
        for template in workloads:
            fitting = knobs.for_kind(KINDS[template.kind])
            adapters = make_loaders(fitting)
            for adapter in (adapters[name] for name in loaders):
                if not is_worth_running(adapter, template, workloads, loaders):
                    continue
                samples = sample_count(adapter, template, seconds, reached.get((template.name, adapter.name), 0.0))
                workload = dataclasses.replace(template, samples=samples, seed=number)
                on_start(f"round {number + 1}: {workload.name} {adapter.name}")
                order = make_order(adapter.name, fitting, workload, max_s=2 * seconds)
                slowest_wave_s = adapter.wave(workload.batch_size) * workload.batch_size / _slowest_rate(workload)
                run = _run(order, workload, number, endpoint, STARTUP_ALLOWANCE_S + 4 * seconds + 2 * slowest_wave_s)
                if run.measurement is not None:
                    reached[run.workload, run.loader] = run.measurement.samples_per_s
                yield run


def is_worth_running(
    adapter: LoaderAdapter, workload: Workload, workloads: Iterable[Workload], loaders: Iterable[str]
) -> bool:
    """Whether a run shows anything new, among the workloads and the names of the loaders of the same report.

    Disk knows no latency, so its loaders run only beside the slowest of the kind's plain workloads. The client alone
    decodes nothing and retries as it likes: it is a limit of plain workloads that do not decode. A peer's hedging shows
    with a slow tail. What more or fewer workers do shows with small objects.
    """
    if adapter.reads == "disk":
        plain = [other.latency_s for other in workloads if other.kind == workload.kind and other.is_plain]
        return workload.is_plain and workload.latency_s == max(plain)
    if adapter.name == CLIENT_ALONE:
        return workload.is_plain and not KINDS[workload.kind].is_image
    if OTHER_WORKERS.get(adapter.name) in {*loaders} and workload.kind != SMALLEST:
        return False
    return adapter.name != LITDATA_HEDGED or workload.tail_fraction > 0.0


def make_order(loader: str, knobs: Knobs, workload: Workload, max_s: float) -> dict[str, Any]:
    """Returns what the child process reads."""
    return {
        "loader": loader,
        "knobs": dataclasses.asdict(knobs),
        "workload": dataclasses.asdict(workload),
        "max_s": max_s,
    }


def _slowest_rate(workload: Workload) -> float:
    """Samples per second of one read after another, at the worst: a fifth of what two cores reach, plus all waiting."""
    throttled_s = 1.0 / workload.max_requests_per_s if workload.max_requests_per_s else 0.0
    return 1.0 / (workload.mean_latency_s + throttled_s + 5.0 / KINDS[workload.kind].s3_samples_per_s)


def _run(order: dict[str, Any], workload: Workload, number: int, endpoint: S3Endpoint, timeout_s: float) -> Run:
    endpoint.configure(**workload.endpoint_settings())
    endpoint.reset_stats()
    started_s, busy_s = perf_counter(), machine_busy_s()
    measurement, error = run_child(run_order, order, timeout_s)
    elapsed_s, busy_s = perf_counter() - started_s, machine_busy_s() - busy_s
    stats = endpoint.stats()
    if measurement is None:
        return Run(order["loader"], workload.name, number, None, error, wall_s=elapsed_s)
    return Run(
        order["loader"],
        workload.name,
        number,
        measurement,
        requests_per_sample=None if measurement.stopped_early else _requests(stats) / measurement.samples,
        wall_s=elapsed_s,
        endpoint_cpu_s=stats.cpu_s,
        others_cpu=max(0.0, (busy_s - stats.cpu_s - measurement.process_cpu_s) / elapsed_s),
    )


def _requests(stats: EndpointStats) -> int:
    return sum(stats.requests.values())


def machine_busy_s() -> float:
    """Returns the CPU seconds that all cores of the machine have worked since its start."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split(maxsplit=9)[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_S
