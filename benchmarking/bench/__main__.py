"""``python -m benchmarking.bench``: measures loaders side by side; the standard ones in under ten minutes."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarking.bench.command_line import parse_arguments, workloads_of
from benchmarking.bench.loaders.protocol import Knobs
from benchmarking.bench.loaders.registry import OURS, make_loaders, missing_package
from benchmarking.bench.machine import describe_machine
from benchmarking.bench.objects import make_objects
from benchmarking.bench.runner import Run, take_turns
from benchmarking.bench.summary import Medians, summarise, table
from benchmarking.bench.targets import SMALL, Target, check_targets, targets_table
from benchmarking.bench.workloads import BUCKET, KINDS
from benchmarking.endpoint import S3Endpoint


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns the exit code: 1 if a run failed. A target that is missed is no failure."""
    options = parse_arguments(arguments)
    options.loaders = list(_installed(options.loaders))
    if not options.loaders:
        _say("no loader is left to run")
        return 1
    machine = describe_machine()
    runs: list[Run] = []
    for run in _measure(options):
        runs.append(run)
        if run.error:
            _say(f"{run.workload} {run.loader} failed: {run.error}")
    medians = summarise(runs)
    targets = _targets(options, medians)
    print(table(medians))
    if targets:
        print(f"\n{targets_table(targets)}")
    print(f"\nAll runs: {_write(options, machine, runs, medians, targets)}")
    return int(any(run.error for run in runs))


def _installed(loaders: Sequence[str]) -> Iterator[str]:
    for loader in loaders:
        package = missing_package(loader)
        if package is None:
            yield loader
        else:
            _say(f"{loader} is left out: {package} is not installed (make bench-peers installs it)")


def _measure(options: argparse.Namespace) -> Iterator[Run]:
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        folder = Path(temporary, "objects")
        for kind in options.kinds:
            _say(f"making {KINDS[kind].objects} {kind} objects")
            make_objects(KINDS[kind], folder)
        with S3Endpoint(folder, bucket=BUCKET) as endpoint:
            workloads = workloads_of(options, folder, endpoint.url)
            yield from take_turns(
                options.loaders,
                workloads,
                endpoint,
                _knobs(options),
                rounds=options.rounds,
                seconds=options.seconds,
                on_start=_say,
            )


def _knobs(options: argparse.Namespace) -> Knobs:
    return Knobs(options.workers, options.fetch_workers, options.batch_pool)


def _targets(options: argparse.Namespace, medians: list[Medians]) -> list[Target]:
    latency_s = max(options.latencies_ms, default=0.0) / 1000
    in_flight = make_loaders(_knobs(options))[OURS].in_flight(KINDS[SMALL].batch_size)
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
