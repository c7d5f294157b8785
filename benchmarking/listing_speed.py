"""How fast a bucket is listed: ``python -m benchmarking.listing_speed``, against a serial loop, interleaved.

The keys are made up and share one empty body; the project's own endpoint serves them, with a delay on every request.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import boto3

from benchmarking.bench.machine import describe_machine
from benchmarking.endpoint import S3Endpoint
from concurrent_dataloader import S3Dataset
from concurrent_dataloader.dataset.listing import LISTING_THREADS, list_objects
from concurrent_dataloader.storage import S3Options, S3Store

BUCKET = "listing"
BASELINE = "boto3 paginator, serial"

Contender = Callable[[str], int]  # lists the endpoint of a URL, and returns the number of keys


def boto3_paginator(url: str) -> int:
    """The loop that everybody writes."""
    client = boto3.client("s3", endpoint_url=url)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return sum(len(page.get("Contents", ())) for page in pages)


def serial_store(url: str) -> int:
    """Our own store's serial listing: what is won by reading the answers faster, without any concurrency."""
    return sum(1 for _ in _store(url).list())


def parallel_listing(url: str) -> int:
    """What `index_all` and the command ``index`` list with."""
    return sum(1 for _ in list_objects(_store(url)))


def index_all(url: str) -> int:
    """The whole of it: listed, written as JSON, and packed."""
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index.json"
        return S3Dataset.index_all(index, bucket_name=BUCKET, endpoint_url=url, show_progress=False)


CONTENDERS: dict[str, Contender] = {
    BASELINE: boto3_paginator,
    "our store, serial": serial_store,
    "list_objects": parallel_listing,
    "S3Dataset.index_all": index_all,
}


def make_keys(shape: str, prefixes: int, keys_per_prefix: int) -> list[str]:
    """Returns the keys of a bucket.

    Args:
        shape: ``"folders"`` (ImageNet's: one folder a class), ``"deep"`` (the fan-out is on the third level) or
            ``"flat"`` (all keys in one folder).
        prefixes: Number of folders.
        keys_per_prefix: Keys in each.
    """
    name = {
        "folders": "train/n{0:08d}/n{0:08d}_{1}.JPEG",
        "deep": "data/part-{2:02d}/n{0:08d}/n{0:08d}_{1}.JPEG",
        "flat": "images/{0:04d}{1:06d}.JPEG",
    }[shape]
    return [name.format(at, number, at % 10) for at in range(prefixes) for number in range(keys_per_prefix)]


def measure(url: str, key_count: int, names: Sequence[str], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Runs each contender once a round, and checks its count.

    Returns:
        Seconds, and CPU seconds of this process, of each run.
    """
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for turn in range(rounds):
        for name in names:
            start_s, cpu_s = perf_counter(), process_time()
            count = CONTENDERS[name](url)
            runs[name].append((perf_counter() - start_s, process_time() - cpu_s))
            if count != key_count:
                raise SystemExit(f"{name} found {count:,} keys of {key_count:,}")
            print(f"round {turn + 1}: {name}: {runs[name][-1][0]:.1f} s", file=sys.stderr, flush=True)
    return runs


def table(runs: dict[str, list[tuple[float, float]]], key_count: int) -> str:
    """Returns medians and ranges as a Markdown table."""
    lines = ["| | seconds | slowest to fastest | keys/s | CPU seconds | times as fast |", "|---|---|---|---|---|---|"]
    baseline_s = median(seconds for seconds, _ in runs[BASELINE])
    for name, measured in runs.items():
        seconds = [each for each, _ in measured]
        cpu_s = median(each for _, each in measured)
        span = f"{max(seconds):.1f} to {min(seconds):.1f}"
        rate, times = key_count / median(seconds), baseline_s / median(seconds)
        lines.append(f"| {name} | {median(seconds):.1f} | {span} | {rate:,.0f} | {cpu_s:.1f} | {times:.1f} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints the table."""
    options = _parser().parse_args(arguments)
    keys = make_keys(options.shape, options.prefixes, options.keys)
    os.environ.update(AWS_ACCESS_KEY_ID="any", AWS_SECRET_ACCESS_KEY="any", AWS_DEFAULT_REGION="us-east-1")
    names = [BASELINE, *(name for name in options.only or CONTENDERS if name != BASELINE)]
    with S3Endpoint(dict.fromkeys(keys, b""), bucket=BUCKET, latency_s=options.latency_ms / 1000.0) as endpoint:
        runs = measure(endpoint.url, len(keys), names, options.rounds)
    machine = describe_machine()
    print(f"{len(keys):,} keys, shape {options.shape}, {options.latency_ms:g} ms, {options.rounds} rounds")
    print(f"{machine['processor']}, {machine['cores']} cores, load {machine['load_1min']}\n")
    print(table(runs, len(keys)))


def _store(url: str) -> S3Store:
    return S3Store(S3Options(BUCKET, url, max_concurrency=LISTING_THREADS))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarking.listing_speed", description=__doc__)
    parser.add_argument("--shape", choices=["folders", "deep", "flat"], default="folders")
    parser.add_argument("--prefixes", type=int, default=1000, help="folders (default: %(default)s, ImageNet's)")
    parser.add_argument("--keys", type=int, default=1300, help="keys in each (default: %(default)s, ImageNet's)")
    parser.add_argument("--latency-ms", type=float, default=50.0, help="delay of each request (default: %(default)s)")
    parser.add_argument("--only", action="append", choices=list(CONTENDERS), help="beside the serial loop; repeatable")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    return parser


if __name__ == "__main__":
    main()
