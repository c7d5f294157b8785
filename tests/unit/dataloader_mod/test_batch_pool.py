"""How many batches are out at once: the decision alone, and then in a loader whose store has a slow object."""

from __future__ import annotations

import time
from collections import namedtuple

import pytest
import torch

from concurrent_dataloader import DataLoader
from concurrent_dataloader.dataloader_mod.batch_pool import MOST_BATCHES, BatchPool, room_bytes
from concurrent_dataloader.dataloader_mod.sizes import bytes_of
from concurrent_dataloader.dataloader_mod.stats import WorkerStats


class Driver:
    """Feeds a pool with periods of a second in which 100 batches came."""

    def __init__(self, pool):
        self.pool, self.seconds, self.caller_wait_s = pool, 0, 0.0
        self.total = WorkerStats()
        self.step(0, 0, 0)

    def step(self, caller_waits, workers_wait, starved, batch_bytes=1000):
        """One second: shares of the time waited (of one worker's for ``workers_wait``) and of the fetches starved."""
        self.seconds += 1
        self.caller_wait_s += caller_waits
        total = self.total
        self.total = WorkerStats(
            fetches=total.fetches + 1000,
            starved=total.starved + round(1000 * starved),
            wait_s=total.wait_s + 2 * workers_wait,
        )
        assert self.pool.is_due(100 * self.seconds)
        self.pool.decide(float(self.seconds), 100 * self.seconds, self.caller_wait_s, self.total, batch_bytes)
        return self.pool.size


def new_pool(first=2, room=1 << 30):
    return BatchPool(first, workers=2, room_bytes=room)


def test_it_rises_by_half_up_to_its_bound_while_all_wait_and_nothing_is_left_to_fetch():
    driver = Driver(new_pool())
    assert [driver.step(0.9, 0.9, 0.9) for _ in range(7)] == [3, 4, 6, 9, 13, MOST_BATCHES, MOST_BATCHES]


@pytest.mark.parametrize(
    "shares",
    [(0.1, 0.9, 0.9), (0.9, 0.1, 0.9), (0.9, 0.9, 0.1)],
    ids=["the caller hardly waits", "the workers decode", "the limit holds fetches back"],
)
def test_it_stays_where_it_is_not_what_holds_up_the_reading(shares):
    driver = Driver(new_pool())
    assert [driver.step(*shares) for _ in range(5)] == [2] * 5


def test_it_falls_back_to_where_it_began_when_the_caller_is_the_slower_one():
    driver = Driver(new_pool(first=3))
    for _ in range(7):
        driver.step(0.9, 0.9, 0.9)
    assert driver.pool.size == MOST_BATCHES
    sizes = [driver.step(0.0, 0.9, 0.9) for _ in range(12)]
    assert sizes[:3] == [12, 9, 7]
    assert sizes[-1] == 3


def test_it_does_not_rise_where_the_batches_would_take_more_memory_than_there_is_room_for():
    driver = Driver(new_pool(room=6000))
    assert [driver.step(0.9, 0.9, 0.9) for _ in range(4)] == [3, 3, 3, 3]


def test_a_decision_is_due_after_as_many_batches_as_are_out():
    pool = new_pool()
    pool.decide(0.0, 10, 0.0, WorkerStats(), 0)
    assert [pool.is_due(batches) for batches in (11, 13, 14)] == [False, False, True]


def test_a_larger_number_at_the_beginning_is_kept():
    driver = Driver(new_pool(first=40))
    assert driver.step(0.9, 0.9, 0.9) == 40


def test_the_bytes_of_a_batch_are_those_of_all_tensors_in_it():
    Pair = namedtuple("Pair", "image target")
    ten = torch.zeros(10, dtype=torch.uint8)
    assert bytes_of({"a": ten, "b": [ten, (ten, "text")], "c": Pair(ten, 3)}) == 40
    assert room_bytes() > 0


class Distant:
    """A two-phase dataset whose every sample is five milliseconds away."""

    def __len__(self):
        return 1200

    def fetch(self, index):
        time.sleep(0.005)
        return index

    def process(self, index, raw):
        return raw

    def __getitem__(self, index):
        return self.process(index, self.fetch(index))


class OwnSampler(torch.utils.data.Sampler):
    """A sampler that might draw from anything at any time."""

    def __iter__(self):
        return iter(range(1200))


def read(**options):
    loader = DataLoader(Distant(), batch_size=2, num_workers=2, **options)
    samples = [sample for batch in loader for sample in batch.tolist()]
    return samples, loader.stats().batch_pool


def test_a_loader_sends_more_batches_while_its_workers_wait_and_gives_all_in_order():
    samples, batch_pool = read()
    assert samples == list(range(1200))
    assert batch_pool > 4


@pytest.mark.parametrize(
    "options",
    [{"batch_pool": 3}, {"sampler": OwnSampler()}, {"in_order": False}],
    ids=["given", "a sampler of the user's", "any order"],
)
def test_the_number_stays_where_it_was_given_or_where_more_of_them_would_show(options):
    samples, batch_pool = read(**options)
    assert sorted(samples) == list(range(1200))
    assert batch_pool == options.get("batch_pool", 2)


def test_the_next_epoch_of_persistent_workers_is_whole():
    loader = DataLoader(Distant(), batch_size=2, num_workers=2, persistent_workers=True)
    epochs = [[sample for batch in loader for sample in batch.tolist()] for _ in range(2)]
    assert epochs == [list(range(1200))] * 2
