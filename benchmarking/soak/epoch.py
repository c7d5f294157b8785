"""Reads one epoch, or a part of it, and compares all that comes."""

from __future__ import annotations

import itertools
import random
from typing import Any

from benchmarking.soak.checker import Expectation
from benchmarking.soak.deaths import Deaths
from benchmarking.soak.tally import Tally
from concurrent_dataloader import DataLoader

_BREAKS, _KILLS = 0.3, 0.25  # share of the epochs that are broken off, and in which a worker is killed


def read_an_epoch(
    loader: DataLoader[Any],
    sampler: list[int],
    expectation: Expectation,
    deaths: Deaths,
    draw: random.Random,
    tally: Tally,
) -> list[int]:
    """Reads from a loader to the end, to a random break, or to the death of a worker that is killed now and then.

    Args:
        loader: The loader, whose sampler gives ``sampler``.
        sampler: The indices of the epoch.
        expectation: What the loader owes.
        deaths: Those that this loader may have to tell of. It may where a batch, or a new iteration of persistent
            workers, is asked for, and nowhere else.
        draw: Decides on breaks and kills.
        tally: Where to count.

    Returns:
        Where a worker's death has ended the epoch, the indices that have not come; else none.
    """
    size = loader.batch_size or 1
    requests = [sampler[at : at + size] for at in range(0, len(sampler), size)]
    batches_read = draw.randrange(len(requests)) if draw.random() < _BREAKS else None
    killed_before = draw.randrange(len(requests)) if loader.num_workers and draw.random() < _KILLS else None
    try:
        iterator = iter(loader)
    except RuntimeError as error:
        if not loader.persistent_workers or not deaths.is_told_by(error, requests):
            raise
        return sampler
    failed_before = len(loader.stats().failed_samples)
    for number, asked in enumerate(requests):
        if number == batches_read:
            tally.counts["breaks"] += 1
            return []
        if number == killed_before:
            deaths.kill_a_worker(draw)
        try:
            batch = next(iterator)
        except StopIteration:
            rest = sum(map(len, requests[number:]))
            tally.complain("lost", f"the epoch ended {rest} samples too early", rest)
            return []
        except Exception as error:  # noqa: BLE001 - whatever it is, it is judged
            if deaths.is_told_by(error, requests[number:]):
                return list(itertools.chain.from_iterable(requests[number:]))
            expectation.check_error(asked, error, tally)
            continue
        failed = loader.stats().failed_samples
        expectation.check_batch(asked, batch, list(failed[failed_before:]), tally)
        failed_before = len(failed)
    tally.counts["epochs"] += 1
    if next(iterator, None) is not None:
        tally.complain("doubled", "a batch after the epoch's last")
    return []
