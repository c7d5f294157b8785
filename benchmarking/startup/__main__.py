"""``python -m benchmarking.startup``: is the first batch there as soon as it can be?

For each start method and kind of objects our loader, with ``"auto"`` and with a fixed number of fetch workers, takes
turns with torch's own loader over samples that are there at once: what that one takes is the workers' start. One GET
and the processing of one batch are timed beside them. Each run has a process of its own.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarking.bench.datasets import AWS_ENVIRONMENT
from benchmarking.bench.objects import make_objects
from benchmarking.bench.workloads import BUCKET, KINDS, index_file
from benchmarking.endpoint import S3Endpoint
from benchmarking.startup.subjects import Order
from benchmarking.startup.turns import start_methods, take_turns
from benchmarking.startup.verdict import judge, table

NAMES = ("8kb", "jpeg")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the command line's options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarking.startup", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--methods", nargs="+", choices=start_methods(), default=start_methods(), help="start methods")
    add("--kinds", nargs="+", choices=NAMES, default=list(NAMES), help="kinds of objects")
    add("--fetch-workers", nargs="+", type=_fetch_workers, default=["auto", 128], help="of our loader")
    add("--latency-ms", type=float, default=100.0, help="added to each GET, in milliseconds")
    add("--rounds", type=int, default=5, help="rounds; in each everything is timed once")
    options = parser.parse_args(arguments)
    if options.rounds <= 0 or options.latency_ms < 0:
        parser.error("there must be a round, and the latency must not be negative")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints a table; returns 1 if a first batch came later than it may."""
    options = parse_arguments(arguments)
    os.environ.update(AWS_ENVIRONMENT)
    results = []
    with tempfile.TemporaryDirectory(prefix="startup-") as temporary:
        folder = Path(temporary, "objects")
        for kind in options.kinds:
            make_objects(KINDS[kind], folder)
        with S3Endpoint(folder, bucket=BUCKET, latency_s=options.latency_ms / 1000) as endpoint:
            for kind in options.kinds:
                for method in options.methods:
                    index = str(index_file(folder, kind))
                    order = Order("", method, kind, str(folder), index, BUCKET, endpoint.url)
                    results += take_turns(order, options.fetch_workers, options.rounds)
    print(table(results))
    return int(not all(map(judge, results)))


def _fetch_workers(text: str) -> int | str:
    return "auto" if text == "auto" else int(text)


if __name__ == "__main__":
    sys.exit(main())
