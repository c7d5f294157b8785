"""``python -m benchmarking.adaptive auto|tail|throttle``: what the loader decides by itself, on a real endpoint.

Each call measures one cell (a latency and a kind of objects, or a setting of the window) in a minute or two, adds it to
a JSON file, and prints what that file holds.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarking.adaptive.concurrency import compare
from benchmarking.adaptive.objects import BUCKET, SIZES, make_bodies, make_dataset
from benchmarking.adaptive.tables import tables
from benchmarking.adaptive.tail import measure_tail
from benchmarking.adaptive.throttle import LIMITS, measure_throttle
from benchmarking.bench.datasets import AWS_ENVIRONMENT
from benchmarking.endpoint import S3Endpoint


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures one cell and prints the tables."""
    options = parse_arguments(arguments)
    if options.what != "show":
        name, found = _measure(options)
        cells = _read(options.results)
        cells.setdefault(options.what, {})[name] = found
        options.results.write_text(json.dumps(cells, indent=1), encoding="utf-8")
    print(tables(_read(options.results)))


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the command line's options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarking.adaptive", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("what", choices=["auto", "tail", "throttle", "show"], help="what is measured; show: only print the tables")
    add("--kind", choices=list(SIZES), default="8kb", help="kind of objects")
    add("--latency-ms", type=float, default=30.0, help="added to each GET, in milliseconds")
    add("--batch-pool", type=int, default=None, help="tail: the loader's batch_pool; None: its default")
    add("--fetch-workers", default="auto", help="tail: the loader's num_fetch_workers, a number or auto")
    add("--limit", choices=list(LIMITS), default="rate", help="throttle: what the endpoint limits")
    add("--rounds", type=int, default=3, help="rounds; in each all settings take their turn")
    add("--results", type=Path, default=Path("adaptive.json"), help="JSON file that gathers the cells")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.latency_ms < 0:
        parser.error("rounds must be positive, and the latency not negative")
    if options.fetch_workers != "auto":
        options.fetch_workers = int(options.fetch_workers)
    return options


def _measure(options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    os.environ.update(AWS_ENVIRONMENT)
    bodies = make_bodies(options.kind)
    with (
        tempfile.TemporaryDirectory(prefix="adaptive-") as folder,
        S3Endpoint(bodies, bucket=BUCKET, latency_s=options.latency_ms / 1000) as endpoint,
    ):
        dataset = make_dataset(bodies, Path(folder), endpoint.url)
        cell = f"{options.kind} {options.latency_ms:g} ms"
        if options.what == "auto":
            return cell, asdict(compare(dataset, options.rounds))
        if options.what == "tail":
            settings = {"num_fetch_workers": options.fetch_workers, "batch_pool": options.batch_pool}
            name = f"{cell}, batch_pool={options.batch_pool}, {options.fetch_workers}"
            return name, asdict(measure_tail(dataset, endpoint, options.rounds, settings))
        found = measure_throttle(dataset, endpoint, LIMITS[options.limit], options.rounds)
        return f"{cell}, {options.limit}", asdict(found)


def _read(path: Path) -> dict[str, dict[str, Any]]:
    cells: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return cells


if __name__ == "__main__":
    main()
