"""One process's share of a soak run: some loaders in turn, each of them random in all that a user may choose."""

from __future__ import annotations

import logging
import os
import random
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarking.soak.checker import Expectation, stand_in
from benchmarking.soak.gauges import Gauges, leaks_since
from benchmarking.soak.objects import make_dataset
from benchmarking.soak.tally import Tally
from concurrent_dataloader import DataLoader
from concurrent_dataloader.storage.options import ClientName

_LOADERS = 3  # after the first, which warms up what a process keeps for good: obstore's runtime, multiprocessing's heap


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
        before = None
        for _ in range(1 + _LOADERS):
            _use_a_loader(course, checksums, draw, tally)
            leaks: list[str] = [] if before is None else leaks_since(before)
            if leaks:
                tally.complain("leaked", f"{course.client}: {', '.join(leaks)}", len(leaks))
            before = before or Gauges.read()
        tempfile.tempdir = None


def _use_a_loader(course: Course, checksums: dict[int, int], draw: random.Random, tally: Tally) -> None:
    options = _options(course.workers, draw)
    expectation = Expectation(course.keys, checksums, options["on_error"])
    sampler: list[int] = []
    dataset = make_dataset(course.url, course.keys, course.client)
    batch_size = draw.choice([1, 4, 16, 32])
    loader: DataLoader[Any] = DataLoader(dataset, batch_size, sampler=sampler, max_error_rate=1.0, **options)
    tally.counts["loaders"] += 1
    for _ in range(draw.randint(1, 3)):
        sampler[:] = draw.choices(range(len(course.keys)), k=draw.choice([7, 100, 300]))
        _read_an_epoch(loader, sampler, expectation, draw, tally)
        if not options.get("persistent_workers"):
            _add_stats(loader, tally)
    if options.get("persistent_workers"):
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


def _read_an_epoch(
    loader: DataLoader[Any], sampler: list[int], expectation: Expectation, draw: random.Random, tally: Tally
) -> None:
    size = loader.batch_size or 1
    requests = [sampler[at : at + size] for at in range(0, len(sampler), size)]
    batches_read = draw.randrange(len(requests)) if draw.random() < 0.3 else None
    iterator = iter(loader)
    failed_before = len(loader.stats().failed_samples)
    for number, asked in enumerate(requests):
        if number == batches_read:
            tally.counts["breaks"] += 1
            return
        try:
            batch = next(iterator)
        except StopIteration:
            rest = sum(map(len, requests[number:]))
            tally.complain("lost", f"the epoch ended {rest} samples too early", rest)
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, it is judged
            expectation.check_error(asked, error, tally)
            continue
        failed = loader.stats().failed_samples
        expectation.check_batch(asked, batch, list(failed[failed_before:]), tally)
        failed_before = len(failed)
    tally.counts["epochs"] += 1
    if next(iterator, None) is not None:
        tally.complain("doubled", "a batch after the epoch's last")


def _add_stats(loader: DataLoader[Any], tally: Tally) -> None:
    total = loader.stats().total
    for name in ("fetches", "retries", "throttled", "hedges", "hedges_won"):
        tally.counts[name] += getattr(total, name)
