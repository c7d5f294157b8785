"""``python -m benchmarking.index_memory``: memory and time of a large index, ours against a list of strings."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarking.bench.machine import describe_machine
from benchmarking.index_memory.child import Figures
from benchmarking.index_memory.table import Row, table

_BASELINE_KEYS = 1000  # so few that a worker's memory is all Python's and torch's


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the command line's options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarking.index_memory",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--keys", nargs="+", type=int, default=[1_000_000, 2_000_000, 10_000_000], help="numbers of keys"
    )
    parser.add_argument("--methods", nargs="+", choices=["fork", "spawn"], default=["fork", "spawn"])
    parser.add_argument("--subjects", nargs="+", choices=["ours", "torch"], default=["ours", "torch"])
    parser.add_argument("--workers", type=int, default=2, help="worker processes, each of which touches every key")
    options = parser.parse_args(arguments)
    if min(options.keys) < 1 or options.workers < 2:
        parser.error("there must be a key, and two workers: a page that only one process touches counts as its own")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, and prints a Markdown table."""
    options = parse_arguments(arguments)
    machine = describe_machine()
    print(f"{machine['processor']}, {machine['cores']} cores, load {machine['load_1min']:.1f}, {machine['system']}\n")
    print(table(list(_rows(options))))
    return 0


def _rows(options: argparse.Namespace) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="index-memory-") as folder:
        few = write_keys(Path(folder, "few.json"), _BASELINE_KEYS)
        many = Path(folder, "many.json")
        baselines = {
            (subject, method): _run(options, subject, few, method)
            for subject in options.subjects
            for method in options.methods
        }
        for count in options.keys:
            write_keys(many, count)
            for subject in options.subjects:
                first = _run(options, subject, many, None)  # parses, and leaves a packed copy if the subject has such
                for method in options.methods:
                    again = _run(options, subject, many, method)
                    yield Row(subject, method, count, first, again, baselines[subject, method])


def write_keys(path: Path, count: int) -> Path:
    """Writes a plain JSON list, without a packed copy, of keys as long as those of ImageNet's training set."""
    path.with_name(f"{path.name}.packed").unlink(missing_ok=True)
    with path.open("w", encoding="ascii") as file:
        for at in range(count):
            name = f"n{1_440_764 + at // 1300:08d}"  # 1,300 images a class
            file.write(f'{", " if at else "["}"scratch/imagenet/train/{name}/{name}_{at % 1300 * 37:05d}.JPEG"')
        file.write("]")
    return path


def _run(options: argparse.Namespace, subject: str, index: Path, method: str | None) -> Figures:
    print(f"{subject}, {index.name}, {method or 'no'} workers ...", file=sys.stderr, flush=True)
    order = {"subject": subject, "index": str(index), "method": method, "workers": options.workers}
    command = [sys.executable, "-m", "benchmarking.index_memory.child"]
    run = subprocess.run(command, input=json.dumps(order), stdout=subprocess.PIPE, text=True, check=True)
    return Figures(**json.loads(run.stdout))


if __name__ == "__main__":
    sys.exit(main())
