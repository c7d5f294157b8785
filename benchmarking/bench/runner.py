"""Lets the loaders take turns: round by round, each run in a process of its own, all against one endpoint."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarking.bench.datasets import AWS_ENVIRONMENT
from benchmarking.bench.loaders.protocol import Knobs, LoaderAdapter
from benchmarking.bench.loaders.registry import CLIENT_ALONE, LITDATA_HEDGED, make_loaders
from benchmarking.bench.measure import Measurement
from benchmarking.bench.workloads import KINDS, Workload
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
        endpoint_cpu_s: CPU seconds of the endpoint's process.
        others_cpu: CPUs that were busy meanwhile with neither of the two, on average: noise of the machine.
    """

    loader: str
    workload: str
    round: int
    measurement: Measurement | None
    error: str = ""
    requests_per_sample: float | None = None
    endpoint_cpu_s: float = 0.0
    others_cpu: float = 0.0


def sample_count(adapter: LoaderAdapter, workload: Workload, seconds: float) -> int:
    """Returns how many samples make a run of about so many seconds: whole waves, the first and the last beside them.

    Two waves do for a loader that reads one body of a batch after another: no batch is begun before its wave.
    """
    kind, size = KINDS[workload.kind], workload.batch_size
    rate = kind.s3_samples_per_s if adapter.reads == "s3" else kind.disk_samples_per_s
    if adapter.reads == "s3" and workload.mean_latency_s:
        rate = min(rate, adapter.in_flight(size) / workload.mean_latency_s)
    if adapter.reads == "s3" and workload.max_requests_per_s:
        rate = min(rate, workload.max_requests_per_s)
    wave = adapter.wave(size)
    least = 1 if adapter.in_flight(size) > wave else 0
    return (2 + max(least, round(rate * seconds / (wave * size)))) * wave * size


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
    for number in range(rounds):
        for template in workloads:
            fitting = knobs.for_kind(KINDS[template.kind])
            adapters = make_loaders(fitting)
            for adapter in (adapters[name] for name in loaders):
                if not is_worth_running(adapter, template, workloads):
                    continue
                samples = sample_count(adapter, template, seconds)
                workload = dataclasses.replace(template, samples=samples, seed=number)
                on_start(f"round {number + 1}: {workload.name} {adapter.name}")
                order = make_order(adapter.name, fitting, workload, max_s=2 * seconds)
                slowest_wave_s = adapter.wave(workload.batch_size) * workload.batch_size / _slowest_rate(workload)
                yield _run(order, workload, number, endpoint, STARTUP_ALLOWANCE_S + 4 * seconds + 2 * slowest_wave_s)


def is_worth_running(adapter: LoaderAdapter, workload: Workload, workloads: Iterable[Workload]) -> bool:
    """Whether a run shows anything new.

    Disk knows no latency, so its loaders run only beside the slowest of the kind's plain workloads. The client alone
    decodes nothing and retries as it likes: it is a limit of plain workloads that do not decode. A peer's hedging shows
    with a slow tail.
    """
    if adapter.reads == "disk":
        plain = [other.latency_s for other in workloads if other.kind == workload.kind and other.is_plain]
        return workload.is_plain and workload.latency_s == max(plain)
    if adapter.name == CLIENT_ALONE:
        return workload.is_plain and not KINDS[workload.kind].is_image
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
    measurement, error = run_child(order, timeout_s)
    elapsed_s, busy_s = perf_counter() - started_s, machine_busy_s() - busy_s
    stats = endpoint.stats()
    if measurement is None:
        return Run(order["loader"], workload.name, number, None, error)
    return Run(
        order["loader"],
        workload.name,
        number,
        measurement,
        requests_per_sample=None if measurement.stopped_early else _requests(stats) / measurement.samples,
        endpoint_cpu_s=stats.cpu_s,
        others_cpu=max(0.0, (busy_s - stats.cpu_s - measurement.process_cpu_s) / elapsed_s),
    )


def _requests(stats: EndpointStats) -> int:
    return sum(stats.requests.values())


def machine_busy_s() -> float:
    """Returns the CPU seconds that all cores of the machine have worked since its start."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split(maxsplit=9)[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_S


def run_child(
    order: dict[str, Any], timeout_s: float, module: str = "benchmarking.bench.child"
) -> tuple[Measurement | None, str]:
    """Runs an order in a fresh process of a module; returns the measurement, or why there is none.

    Shutdown: a process that takes longer than ``timeout_s`` seconds is killed with all its workers.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **AWS_ENVIRONMENT},
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(json.dumps(order), timeout=timeout_s)
    except BaseException as error:  # Ctrl-C included: no worker may be left behind
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            return None, f"not done after {timeout_s:.0f} s"
        raise
    if process.returncode != 0:
        return None, f"exit code {process.returncode}: {(errors.strip().splitlines() or ['no message'])[-1]}"
    return Measurement(**json.loads(output.splitlines()[-1])), ""
