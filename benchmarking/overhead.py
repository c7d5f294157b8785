"""``python -m benchmarking.overhead``: the CPU that an object takes from the pool to `process`.

Ours, without workers and with a decoder that drops the bytes, takes turns with obstore alone in as many threads. The
endpoint has a process of its own, so all CPU time of this one is the reader's.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from benchmarking.bench.datasets import AWS_ENVIRONMENT, REGION, make_store
from benchmarking.bench.summary import markdown
from benchmarking.bench.workloads import BUCKET
from benchmarking.endpoint import S3Endpoint
from concurrent_dataloader import DataLoader, S3Dataset

BATCH_SIZE, BATCH_POOL = 64, 4
WARM_UP = 2 * BATCH_SIZE  # objects that are not counted: connections are made, and the window is filled
MOST_US = 250.0  # issue 4: of ours for 110 KB
OURS, ALONE = "ours, to process", "obstore alone"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints a table; 1 if ours takes more than `MOST_US`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarking.overhead", description=__doc__)
    add = parser.add_argument
    add("--size-kb", type=int, default=110, help="size of an object in 1,000 bytes (110)")
    add("--objects", type=int, default=3000, help="objects of a run (3000)")
    add("--latencies-ms", type=float, nargs="+", default=[0.0, 30.0], help="added to each GET (0 and 30)")
    add("--fetch-workers", type=int, default=64, help="objects fetched at once (64)")
    add("--rounds", type=int, default=5, help="runs of each (5)")
    given = parser.parse_args(arguments)
    if min(given.size_kb, given.fetch_workers, given.rounds) < 1 or min(given.latencies_ms) < 0:
        parser.error("size, fetch workers and rounds must be positive, and latencies not negative")
    if given.objects <= WARM_UP:
        parser.error(f"--objects must be above {WARM_UP}, which are not counted")
    os.environ.update(AWS_ENVIRONMENT)
    rows, most_us = [], 0.0
    for latency_ms in given.latencies_ms:
        found = _measure(given, latency_ms / 1000)
        most_us = max(most_us, median(found[OURS]))
        rows += [
            [f"{latency_ms:g} ms", name, f"{median(us):.0f}", f"({min(us):.0f}-{max(us):.0f})"]
            for name, us in found.items()
        ]
    print(f"{given.size_kb} KB objects, {given.fetch_workers} in flight, {given.rounds} rounds\n")
    print(markdown(["latency", "reader", "CPU us/object", "(min-max)"], rows))
    return int(most_us > MOST_US)


def _measure(given: argparse.Namespace, latency_s: float) -> dict[str, list[float]]:
    """Returns the CPU of an object in microseconds in each round, by reader."""
    key, count = "object.bin", given.objects
    found: dict[str, list[float]] = {OURS: [], ALONE: []}
    with (
        tempfile.TemporaryDirectory(prefix="overhead-") as folder,
        S3Endpoint({key: os.urandom(given.size_kb * 1000)}, bucket=BUCKET, latency_s=latency_s) as endpoint,
    ):
        index = Path(folder, "index.json")
        index.write_text(json.dumps([key] * count))
        for _ in range(given.rounds):
            found[OURS].append(_ours_us(index, endpoint.url, given.fetch_workers))
            found[ALONE].append(_alone_us(key, endpoint.url, given.fetch_workers, count))
    return found


def _ours_us(index: Path, url: str, fetch_workers: int) -> float:
    dataset = S3Dataset(str(index), bucket_name=BUCKET, endpoint_url=url, region_name=REGION, decoder=_drop)
    loader = DataLoader(dataset, BATCH_SIZE, num_fetch_workers=fetch_workers, batch_pool=BATCH_POOL)
    batches = iter(loader)
    for _ in range(WARM_UP // BATCH_SIZE):
        next(batches)
    return _cpu_us(lambda: sum(len(batch) for batch in batches))


def _alone_us(key: str, url: str, threads: int, count: int) -> float:
    store = make_store(url)

    def get(number: int) -> int:
        del number
        return len(store.get(key).bytes())

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(get, range(WARM_UP)))
        return _cpu_us(lambda: len(list(pool.map(get, range(count - WARM_UP)))))


def _drop(body: bytes) -> int:
    return len(body)


def _cpu_us(read: Callable[[], int]) -> float:
    """Returns the CPU time of this process in microseconds for each of the objects that were read."""
    before_s = time.process_time()
    objects = read()
    return (time.process_time() - before_s) / objects * 1e6


if __name__ == "__main__":
    raise SystemExit(main())
