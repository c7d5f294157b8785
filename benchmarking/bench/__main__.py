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
from benchmarking.bench.loaders.registry import missing_package
from benchmarking.bench.machine import describe_machine
from benchmarking.bench.objects import make_objects
from benchmarking.bench.report import report, targets_of
from benchmarking.bench.runner import Run, take_turns
from benchmarking.bench.summary import Medians, summarise
from benchmarking.bench.targets import Target
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
    targets = targets_of(medians, _knobs(options), options.latencies_ms)
    print(report(medians, targets))
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
