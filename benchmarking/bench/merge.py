"""``python -m benchmarking.bench.merge FILE...``: one report of several results, so that a long run can be split.

Runs of the same loader on the same workload are pooled. Results with other settings get a table of their own; results
of another machine, or of other versions, are refused.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarking.bench.loaders.protocol import Knobs
from benchmarking.bench.measure import Measurement
from benchmarking.bench.report import report, targets_of
from benchmarking.bench.runner import Run
from benchmarking.bench.summary import summarise

SAME = ("processor", "cores", "python", "packages")
"""What must not differ between the machines of two results; load and kernel may."""


@dataclass(frozen=True)
class Result:
    """A file that ``python -m benchmarking.bench`` wrote."""

    path: Path
    machine: dict[str, Any]
    knobs: Knobs
    latencies_ms: list[float]
    runs: list[Run]


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the report; returns the exit code: 1 if a run failed, 2 if the files are not fit to be merged."""
    parser = argparse.ArgumentParser(prog="python -m benchmarking.bench.merge", description="Merges results.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="JSON file that the benchmark wrote")
    try:
        results = [read_result(path) for path in parser.parse_args(arguments).files]
        print("\n\n".join(sections(results)))
    except ValueError as error:
        parser.error(str(error))
    return int(any(run.error for result in results for run in result.runs))


def read_result(path: Path) -> Result:
    """Reads a result.

    Raises:
        ValueError: There is no such file, or it is no result of this version of the benchmark.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        options = content["options"]
        return Result(
            path,
            content["machine"],
            Knobs(options["workers"], options["fetch_workers"], options["batch_pool"]),
            options["latencies_ms"],
            [_run(each) for each in content["runs"]],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no result of the benchmark: {type(error).__name__}: {error}") from error


def _run(content: dict[str, Any]) -> Run:
    measurement = content["measurement"]
    return Run(**{**content, "measurement": None if measurement is None else Measurement(**measurement)})


def sections(results: Sequence[Result]) -> Iterator[str]:
    """Yields the report of each setting, in the order in which settings first came.

    Raises:
        ValueError: Two results are of different machines or versions.
    """
    first = results[0]
    for other in results[1:]:
        for name in SAME:
            if other.machine[name] != first.machine[name]:
                difference = f"{name} is {first.machine[name]} in one and {other.machine[name]} in the other"
                raise ValueError(f"{first.path} and {other.path} cannot be merged: {difference}")
    for knobs in dict.fromkeys(result.knobs for result in results):
        yield _section(knobs, [result for result in results if result.knobs == knobs])


def _section(knobs: Knobs, results: Sequence[Result]) -> str:
    runs = [run for result in results for run in result.runs]
    medians = summarise(runs)
    targets = targets_of(medians, knobs, (latency for result in results for latency in result.latencies_ms))
    settings = f"{knobs.workers} workers, {knobs.fetch_workers} fetch workers each, batch_pool={knobs.batch_pool}"
    head = f"{settings}; {_noise(runs)}"
    return "\n\n".join([head, report(medians, targets), *_failures(runs)])


def _noise(runs: Iterable[Run]) -> str:
    others = [run.others_cpu for run in runs if run.measurement is not None] or [0.0]
    return f"cores busy with something else: {median(others):.2f}, at most {max(others):.2f}"


def _failures(runs: Iterable[Run]) -> Iterator[str]:
    for run in runs:
        if run.error:
            yield f"failed: {run.workload} {run.loader} in round {run.round + 1}: {run.error}"


if __name__ == "__main__":
    sys.exit(main())
