"""What a user sees of a run: statistics, failed samples, stalls and dead workers."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import threading

import pytest
import torch
from contract_datasets import Failing, Plain, TwoPhase

from concurrent_dataloader import DataLoader

IMPLS = pytest.mark.parametrize("impl", ["threaded", "asyncio"])


class Bytes(TwoPhase):
    def fetch(self, index):
        return bytes(100)

    def process(self, index, raw):
        return index


@IMPLS
@pytest.mark.parametrize("context", ["fork", "spawn"])
@pytest.mark.parametrize("workers", [0, 2])
def test_stats_count_what_each_worker_did(workers, context, impl):
    options = {"multiprocessing_context": context} if workers else {}
    loader = DataLoader(Bytes(24), batch_size=4, num_workers=workers, fetch_impl=impl, **options)
    assert loader.stats().batches == 0
    list(loader)
    found = loader.stats()
    assert (found.batches, found.total.samples, found.total.fetches) == (6, 24, 24)
    assert found.total.fetched_bytes == 2400
    assert found.total.in_flight == 0
    assert found.wait_s > 0
    assert [worker.samples for worker in found.workers] == ([12, 12] if workers else [24])


def test_stats_are_zero_where_torchs_own_path_reads():
    loader = DataLoader(Plain(), batch_size=4)
    list(loader)
    assert loader.stats().batches == 0


def test_a_loader_that_has_run_can_be_pickled():
    loader = DataLoader(TwoPhase(), batch_size=4, num_workers=1)
    list(loader)
    assert len(pickle.loads(pickle.dumps(loader))) == 6


@pytest.mark.parametrize("pin_memory", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_failed_samples_are_kept_in_sampler_order_with_index_key_and_error(workers, pin_memory):
    dataset = Failing({5: "process", 1: "fetch", 9: "fetch"}, ValueError("bad"), 12)
    loader = DataLoader(dataset, batch_size=4, num_workers=workers, on_error="skip", pin_memory=pin_memory)
    list(loader)
    failed = [(each.index, each.name, each.error) for each in loader.stats().failed_samples]
    assert failed == [(index, f"key-{index}", "ValueError: bad") for index in (1, 5, 9)]


@pytest.mark.parametrize("workers", [0, 2])
def test_more_failures_than_max_error_rate_allows_end_the_epoch_at_that_batch(workers):
    dataset = Failing(dict.fromkeys((1, 5, 9), "fetch"), ValueError("bad"), 12)
    batches = iter(DataLoader(dataset, batch_size=4, num_workers=workers, on_error="skip", max_error_rate=0.2))
    assert [len(next(batches)["index"]) for _ in range(2)] == [3, 3]
    with pytest.raises(RuntimeError, match="3 of the epoch's 12 samples failed, more than max_error_rate=0.2"):
        next(batches)


@pytest.mark.parametrize("workers", [0, 1])
def test_each_epoch_of_persistent_workers_may_have_its_share_of_failures(workers):
    dataset = Failing({1: "fetch"}, ValueError("bad"), 8)
    loader = DataLoader(
        dataset, 4, num_workers=workers, persistent_workers=workers > 0, on_error="skip", max_error_rate=0.125
    )
    assert [len(list(loader)) for _ in range(3)] == [2, 2, 2]


class SecondAttemptWins(TwoPhase):
    """The first fetch of sample 150 waits until the second attempt at it is made."""

    def __init__(self):
        super().__init__(200)
        self.seen, self.again = threading.Event(), threading.Event()

    def fetch(self, index):
        if index == 150:
            if self.seen.is_set():
                self.again.set()
            else:
                self.seen.set()
                assert self.again.wait(60)
                threading.Event().wait(0.05)  # so that the second attempt, which does not wait, is first
        return super().fetch(index)


def test_a_slow_fetch_is_sent_again_and_the_data_stays_the_same():
    loader = DataLoader(SecondAttemptWins(), batch_size=10, num_fetch_workers=8)
    found = torch.cat([batch["index"] for batch in loader])
    assert found.tolist() == list(range(200))
    assert loader.stats().total.hedges >= 1


def test_without_hedging_every_fetch_is_made_once():
    calls = []

    class Counts(TwoPhase):
        def fetch(self, index):
            calls.append(index)
            return super().fetch(index)

    list(DataLoader(Counts(200), batch_size=10, num_fetch_workers=8, hedging=False))
    assert sorted(calls) == list(range(200))


class Stuck(TwoPhase):
    """Sample 5 waits until the stall has been told."""

    told = threading.Event()

    def fetch(self, index):
        if index == 5:
            assert self.told.wait(60)
        return super().fetch(index)

    def describe(self, index):
        return f"key-{index}"


def test_a_stall_is_told_with_the_key_that_is_waited_for(caplog):
    dataset = Stuck()
    dataset.told.clear()
    logger = logging.getLogger("concurrent_dataloader.dataloader_mod.stall")
    handler = logging.Handler()
    handler.emit = lambda record: dataset.told.set()
    logger.addHandler(handler)
    try:
        loader = DataLoader(dataset, batch_size=4, num_fetch_workers=4, stall_timeout=0.05, hedging=False)
        assert len(list(loader)) == 6
    finally:
        logger.removeHandler(handler)
    assert "sample 5 (key-5): out for" in caplog.text


class KillsItself(TwoPhase):
    def fetch(self, index):
        if index == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fetch(index)

    def describe(self, index):
        return f"key-{index}"


def test_the_death_of_a_worker_names_what_it_was_fetching():
    loader = DataLoader(KillsItself(), batch_size=4, num_workers=1, prefetch_factor=1, batch_pool=1)
    batches = iter(loader)
    next(batches)
    with pytest.raises(RuntimeError, match=r"DataLoader worker .* It was fetching samples .*6 \(key-6\)"):
        list(batches)
    del batches
    assert not multiprocessing.active_children()


class FailsIn(TwoPhase):
    def __init__(self, phase):
        super().__init__(8)
        self.phase = phase

    def fetch(self, index):
        if self.phase == "fetch":
            raise OSError("no")
        return index

    def process(self, index, raw):
        raise OSError("no")


@pytest.mark.parametrize("phase", ["fetch", "process"])
def test_the_time_that_went_into_samples_that_failed_is_counted_too(phase):
    loader = DataLoader(FailsIn(phase), batch_size=4, on_error=lambda index, error: index, max_error_rate=1.0)
    assert torch.cat(list(loader)).tolist() == list(range(8))
    total = loader.stats().total
    assert total.wait_s > 0
    assert (total.process_s > 0) is (phase == "process")


def test_persistent_workers_share_of_failures_is_that_of_the_epoch_at_hand():
    indices = [0, 1]
    loader = DataLoader(
        Failing({5: "fetch"}, ValueError("bad")),
        batch_size=2,
        sampler=indices,
        num_workers=1,
        persistent_workers=True,
        on_error=lambda index, error: torch.tensor(index),
        max_error_rate=1.0,
    )
    assert len(list(loader)) == 1
    indices[:] = [5] * 6  # a sampler may give more in a later epoch
    assert len(list(loader)) == 3
    assert len(loader.stats().failed_samples) == 6
