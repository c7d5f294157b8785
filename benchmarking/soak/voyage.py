"""One process's share of a soak run: some loaders in turn, each of them random in all that a user may choose."""

from __future__ import annotations

import gc
import logging
import os
import random
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarking.soak.checker import Expectation, stand_in
from benchmarking.soak.deaths import Deaths
from benchmarking.soak.epoch import read_an_epoch
from benchmarking.soak.gauges import Gauges, leaks_since
from benchmarking.soak.objects import make_dataset
from benchmarking.soak.tally import Tally
from concurrent_dataloader import DataLoader
from concurrent_dataloader.storage.options import ClientName

_LOADERS = 4
_TO_WARM_UP = 8  # samples


@dataclass(frozen=True)
class Course:
    """What a voyage is given.

    Attributes:
        url: The endpoint's.
        keys: Key of each sample.
        bodies: The objects that exist.
        client: The client that reads. All loaders of a process use one, and have workers or have none: a process that
            was forked after its parent had started obstore could not use it.
        workers: Most worker processes.
        seed: Of all draws.
    """

    url: str
    keys: list[str]
    bodies: Mapping[str, bytes]
    client: ClientName
    workers: int
    seed: int


def sail(course: Course, tally: Tally) -> None:
    """Runs the loaders of one voyage, and compares all that they give."""
    log = logging.getLogger("concurrent_dataloader")
    log.propagate = False  # hundreds of samples fail here, and each is counted anyway
    log.addHandler(logging.NullHandler())
    checksums = {n: zlib.crc32(course.bodies[key]) for n, key in enumerate(course.keys) if key in course.bodies}
    draw = random.Random(course.seed)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = folder  # so that temporary files of others are not taken for ours
        _warm_up(course)
        before = Gauges.read()
        for _ in range(_LOADERS):
            deaths = Deaths(course.keys, tally)
            _use_a_loader(course, checksums, deaths, draw, tally)
            deaths.remove_segments()
            leaks = leaks_since(before)
            if leaks:
                tally.complain("leaked", f"{course.client}: {', '.join(leaks)}", len(leaks))
        tempfile.tempdir = None


def _warm_up(course: Course) -> None:
    """Makes what a process opens once and keeps for good: obstore's runtime, multiprocessing's heap, uvloop's pipe.

    That pipe is libuv's, which takes in signals by it: the first loop of a process makes it, and no later one another.
    """
    dataset = make_dataset(course.url, course.keys, course.client)
    loader = DataLoader(
        dataset,
        _TO_WARM_UP,
        sampler=range(_TO_WARM_UP),
        num_workers=min(course.workers, 1),
        fetch_impl="asyncio",
        on_error=stand_in,
        max_error_rate=1.0,
    )
    for _ in loader:
        pass
    del loader
    gc.collect()


def _use_a_loader(course: Course, checksums: dict[int, int], deaths: Deaths, draw: random.Random, tally: Tally) -> None:
    options = _options(course.workers, draw)
    batch_size = draw.choice([1, 4, 16, 32])
    expectation = Expectation(course.keys, checksums, options["on_error"])
    sampler: list[int] = []

    def make() -> DataLoader[Any]:
        tally.counts["loaders"] += 1
        dataset = make_dataset(course.url, course.keys, course.client)
        return DataLoader(dataset, batch_size, sampler=sampler, max_error_rate=1.0, **options)

    loader = make()
    for _ in range(draw.randint(1, 3)):
        rest = draw.choices(range(len(course.keys)), k=draw.choice([7, 100, 300]))
        while rest:
            sampler[:] = rest
            rest = read_an_epoch(loader, list(sampler), expectation, deaths, draw, tally)
            if not loader.persistent_workers:
                _add_stats(loader, tally)
            elif rest:  # persistent workers do not come back: what is left is read by a new loader
                _add_stats(loader, tally)
                loader = make()
    if loader.persistent_workers:
        _add_stats(loader, tally)


def _options(workers: int, draw: random.Random) -> dict[str, Any]:
    options: dict[str, Any] = {
        "num_workers": draw.randint(1, workers) if workers else 0,
        "fetch_impl": draw.choice(["threaded", "asyncio"]),
        "num_fetch_workers": draw.choice([None, None, 4, 32]),
        "batch_pool": draw.choice([None, 1, 4]),
        "on_error": draw.choice(["raise", "skip", stand_in]),
        "hedging": draw.random() < 0.8,
    }
    if workers:
        options |= {"persistent_workers": draw.random() < 0.5, "prefetch_factor": draw.choice([1, 2, 4])}
    return options


def _add_stats(loader: DataLoader[Any], tally: Tally) -> None:
    total = loader.stats().total
    for name in ("fetches", "retries", "throttled", "hedges", "hedges_won"):
        tally.counts[name] += getattr(total, name)
