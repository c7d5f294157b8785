"""``python -m benchmarking.bench``: measures torch's loader and ours side by side, in under ten minutes."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarking.bench.loaders.protocol import Knobs
from benchmarking.bench.loaders.registry import OURS, make_loaders
from benchmarking.bench.machine import describe_machine
from benchmarking.bench.objects import make_objects
from benchmarking.bench.runner import Run, take_turns
from benchmarking.bench.summary import Medians, summarise, table
from benchmarking.bench.targets import Target, check_targets, targets_table
from benchmarking.bench.workloads import BUCKET, KINDS, Workload
from benchmarking.endpoint import S3Endpoint

BATCH_SIZE = 64


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the command line's options."""
    loaders = list(make_loaders(Knobs()))
    parser = argparse.ArgumentParser(
        prog="python -m benchmarking.bench", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS), help="kinds of objects")
    add("--latencies-ms", nargs="+", type=float, default=[0.0, 100.0], help="added to each GET, in milliseconds")
    add("--loaders", nargs="+", choices=loaders, default=loaders, help="loaders to run")
    add("--rounds", type=int, default=3, help="rounds; in each every loader runs once on every workload")
    add("--seconds", type=float, default=2.0, help="length of a run, about; slow loaders take two waves of batches")
    add("--workers", type=int, default=2, help="worker processes of each loader but torch with boto3, which has 8")
    add("--fetch-workers", type=int, default=128, help="samples fetched at once in each worker")
    add("--batch-pool", type=int, default=4, help="batches of one worker in flight at once, for ours")
    add("--output", type=Path, default=Path("bench-results"), help="folder for the JSON file with all runs")
    add("--quick", action="store_true", help="one round of a second each on 8 KB objects: a minute, no figures to keep")
    options = parser.parse_args(arguments)
    if min(options.rounds, options.seconds, options.workers, options.fetch_workers, options.batch_pool) <= 0:
        parser.error("rounds, seconds, workers, fetch workers and the batch pool must be positive")
    if min(options.latencies_ms) < 0:
        parser.error("a latency cannot be negative")
    if options.quick:
        options.kinds, options.rounds, options.seconds = ["8kb"], 1, 1.0
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns the exit code: 1 if a run failed. A target that is missed is no failure."""
    options = parse_arguments(arguments)
    machine = describe_machine()
    runs: list[Run] = []
    for run in _measure(options):
        runs.append(run)
        if run.error:
            print(f"{run.workload} {run.loader} failed: {run.error}", file=sys.stderr)
    medians = summarise(runs)
    targets = _targets(options, medians)
    print(table(medians))
    if targets:
        print(f"\n{targets_table(targets)}")
    print(f"\nAll runs: {_write(options, machine, runs, medians, targets)}")
    return int(any(run.error for run in runs))


def _measure(options: argparse.Namespace) -> Iterator[Run]:
    knobs = _knobs(options)
    chosen = [adapter for name, adapter in make_loaders(knobs).items() if name in options.loaders]
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        folder = Path(temporary, "objects")
        for kind in options.kinds:
            _say(f"making {KINDS[kind].objects} {kind} objects")
            make_objects(KINDS[kind], folder)
        with S3Endpoint(folder, bucket=BUCKET) as endpoint:
            workloads = [
                Workload(kind, latency_ms / 1000, BATCH_SIZE, 0, 0, str(folder), endpoint.url)
                for kind in options.kinds
                for latency_ms in options.latencies_ms
            ]
            yield from take_turns(
                chosen, workloads, endpoint, knobs, rounds=options.rounds, seconds=options.seconds, on_start=_say
            )


def _knobs(options: argparse.Namespace) -> Knobs:
    return Knobs(options.workers, options.fetch_workers, options.batch_pool)


def _targets(options: argparse.Namespace, medians: list[Medians]) -> list[Target]:
    latency_s = max(options.latencies_ms) / 1000
    if not latency_s:
        return []
    in_flight = make_loaders(_knobs(options))[OURS].in_flight(BATCH_SIZE)
    return check_targets(medians, latency_s=latency_s, in_flight=in_flight)


def _write(
    options: argparse.Namespace,
    machine: dict[str, object],
    runs: list[Run],
    medians: list[Medians],
    targets: list[Target],
) -> Path:
    now = datetime.now(UTC)
    content = {
        "date": now.isoformat(timespec="seconds"),
        "machine": machine,
        "options": vars(options),
        "medians": [dataclasses.asdict(each) for each in medians],
        "targets": [{**dataclasses.asdict(each), "is_reached": each.is_reached} for each in targets],
        "runs": [dataclasses.asdict(run) for run in runs],
    }
    options.output.mkdir(parents=True, exist_ok=True)
    path: Path = options.output / f"bench-{now:%Y%m%d-%H%M%S}.json"
    path.write_text(json.dumps(content, indent=1, default=str), encoding="utf-8")
    return path


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
