"""``python -m benchmarking.cache_speed``: is a second epoch from the cache as fast as local disk?

`S3Dataset` with ``use_cache=True``, on an endpoint with latency, takes turns with torch's loader over a plain dataset
of the same files, which is what local disk means to most, and with `ScratchDataset`, which is faster. All have two
workers.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarking.bench.datasets import AWS_ENVIRONMENT, REGION, DiskObjects
from benchmarking.bench.decode import IMAGE_TRANSFORM, decode_bytes
from benchmarking.bench.measure import Measurement, measure
from benchmarking.bench.objects import make_objects
from benchmarking.bench.summary import markdown
from benchmarking.bench.workloads import BUCKET, KINDS, Workload
from benchmarking.endpoint import S3Endpoint
from concurrent_dataloader import DataLoader, S3Dataset, ScratchDataset

BATCH_SIZE = 64
WORKERS = 2
WAVE = 2 * WORKERS  # batches under way at once: torch's prefetch factor is 2
LEAST_RATIO = 0.95  # issue 3: within 5 % of local disk
_MOST_FILLS = 4  # on a busy machine a cache leaves out what it cannot write at once
CACHE, TORCH, DISK = "S3Dataset, cached", "torch's loader, files", "ScratchDataset"
HEADER = ("objects", "dataset", "samples/s", "(min-max)", "CPU ms/sample", "GETs")

Build = Callable[[Sequence[int]], Iterable[Any]]


@dataclass
class Results:
    """What was measured of one dataset: one `Measurement` a round, and the GETs of all rounds."""

    measurements: list[Measurement] = field(default_factory=list)
    gets: int = 0

    @property
    def rates(self) -> list[float]:
        """Samples per second of each round."""
        return [each.samples_per_s for each in self.measurements]

    @property
    def cpu_s_per_sample(self) -> float:
        """CPU seconds of a sample, the median over the rounds: on a busy machine steadier than the rates."""
        return median(each.cpu_s / each.samples for each in self.measurements)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the comparison and prints its table; 1 if the cache is slower than it may be, or was not used."""
    options = parse_arguments(arguments)
    os.environ.update(AWS_ENVIRONMENT)
    rows, verdicts, missed = [], [], False
    with tempfile.TemporaryDirectory(prefix="cache-speed-") as temporary:
        folder = Path(temporary, "objects")
        for kind in options.kinds:
            make_objects(KINDS[kind], folder)
        with S3Endpoint(folder, bucket=BUCKET, latency_s=options.latency_ms / 1000) as endpoint:
            for kind in options.kinds:
                workload = _workload(kind, options, folder, endpoint.url)
                results = compare(workload, Path(temporary, f"cache-{kind}"), endpoint, options.rounds)
                rows += [_row(kind, name, result) for name, result in results.items()]
                verdict, reached = judge(results)
                verdicts.append(f"{kind}: {verdict}")
                missed = missed or not reached
    print(markdown(HEADER, rows), *verdicts, sep="\n")
    return int(missed)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the command line's options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarking.cache_speed", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS), help="kinds of objects")
    add("--latency-ms", type=float, default=30.0, help="added to each GET, in milliseconds")
    add("--rounds", type=int, default=5, help="rounds; in each all are read once")
    add("--seconds", type=float, default=3.0, help="length of a run, about")
    options = parser.parse_args(arguments)
    if min(options.rounds, options.seconds) <= 0 or options.latency_ms < 0:
        parser.error("rounds and seconds must be positive, and the latency not negative")
    return options


def compare(workload: Workload, cache_dir: Path, endpoint: S3Endpoint, rounds: int) -> dict[str, Results]:
    """Fills the cache with a first epoch, then lets all take turns, in another order in every other round."""
    builds: dict[str, Build] = {
        CACHE: lambda order: _loader(_cached_dataset(workload, cache_dir), order),
        TORCH: lambda order: torch.utils.data.DataLoader[Any](
            DiskObjects(workload),  # type: ignore[arg-type]  # torch asks for a map-style dataset by name alone
            batch_size=BATCH_SIZE,
            sampler=order,
            num_workers=WORKERS,
        ),
        DISK: lambda order: _loader(_disk_dataset(workload), order),
    }
    for build in builds.values():  # the first epoch, and the files' pages in memory for all
        for _ in range(_MOST_FILLS):
            endpoint.reset_stats()
            for _ in build(range(len(workload.keys))):
                pass
            if not endpoint.stats().requests.get("GET", 0):
                break
    results = {name: Results() for name in builds}
    for number in range(rounds):
        for name in (CACHE, TORCH, DISK) if number % 2 == 0 else (DISK, TORCH, CACHE):
            endpoint.reset_stats()
            measured = _measure(builds[name], workload)
            results[name].measurements.append(measured)
            results[name].gets += endpoint.stats().requests.get("GET", 0)
    return results


def judge(results: dict[str, Results]) -> tuple[str, bool]:
    """Returns what the rounds say, and whether the cache is fast enough and was used.

    A ratio is the median over the rounds of each round's ratio: what slows the machine down slows down all.
    """
    ratio, to_ours = (
        median(ours / disk for ours, disk in zip(results[CACHE].rates, results[name].rates, strict=True))
        for name in (TORCH, DISK)
    )
    if results[CACHE].gets:
        return f"the cache was not used: {results[CACHE].gets} GETs", False
    reached = ratio >= LEAST_RATIO
    more_us = (results[CACHE].cpu_s_per_sample - results[DISK].cpu_s_per_sample) * 1e6
    verdict = f"cache / torch on disk = {ratio:.3f}, {'reaches' if reached else 'misses'} {LEAST_RATIO}"
    return f"{verdict}; cache / ScratchDataset = {to_ours:.3f}, CPU per sample {more_us:+.1f} us", reached


def _workload(kind: str, options: argparse.Namespace, folder: Path, url: str) -> Workload:
    wave_samples = WAVE * BATCH_SIZE
    waves = max(2, round(KINDS[kind].disk_samples_per_s * options.seconds / wave_samples))
    latency_s = options.latency_ms / 1000
    return Workload(kind, latency_s, BATCH_SIZE, waves * wave_samples, seed=0, folder=str(folder), endpoint_url=url)


def _measure(build: Build, workload: Workload) -> Measurement:
    batches = workload.samples // BATCH_SIZE
    return measure(lambda: build(workload.order()), batches=batches, batch_size=BATCH_SIZE, wave=WAVE, max_s=60.0)


def _loader(dataset: Any, order: Sequence[int]) -> Iterable[Any]:
    return DataLoader(dataset, batch_size=BATCH_SIZE, sampler=order, num_workers=WORKERS)


def _decoding(workload: Workload) -> dict[str, Any]:
    return {"transform": IMAGE_TRANSFORM} if KINDS[workload.kind].is_image else {"decoder": decode_bytes}


def _cached_dataset(workload: Workload, cache_dir: Path) -> S3Dataset:
    return S3Dataset(
        workload.index_file,
        bucket_name=BUCKET,
        endpoint_url=workload.endpoint_url,
        region_name=REGION,
        use_cache=True,
        cache_dir=cache_dir,
        **_decoding(workload),
    )


def _disk_dataset(workload: Workload) -> ScratchDataset:
    return ScratchDataset(workload.index_file, local_path=workload.folder, **_decoding(workload))


def _row(kind: str, name: str, results: Results) -> tuple[str, ...]:
    rates = results.rates
    return (
        kind,
        name,
        f"{median(rates):.0f}",
        f"({min(rates):.0f}-{max(rates):.0f})",
        f"{results.cpu_s_per_sample * 1000:.3f}",
        str(results.gets),
    )


if __name__ == "__main__":
    raise SystemExit(main())
