from __future__ import annotations

import dataclasses
import random

import pytest
from engine_parts import new_engine

from concurrent_dataloader._base.errors import DatasetError
from concurrent_dataloader._base.request_events import report_retry
from concurrent_dataloader.dataloader_mod.pending import FetchCancelled
from concurrent_dataloader.dataloader_mod.stats import StatsBoard


class TwoPhase:
    def __init__(self, fail_in=None, error=None, at=2):
        self.fail_in, self.error, self.at = fail_in, error, at
        self.processed = []

    def fetch(self, index):
        self._fail("fetch", index)
        return index * 10

    def process(self, index, raw):
        self._fail("process", index)
        self.processed.append(index)
        return raw + 1

    def __getitem__(self, index):
        return self.process(index, self.fetch(index))

    def _fail(self, phase, index):
        if (phase, index) == (self.fail_in, self.at):
            raise self.error


class Plain:
    def __init__(self, call=lambda index: index):
        self.call = call

    def __getitem__(self, index):
        return self.call(index)


class Batched(Plain):
    def __getitems__(self, indices):
        return [self.call(index) for index in indices]


@pytest.fixture
def engine_over():
    engines = []

    def make(dataset, **options):
        engines.append(new_engine(dataset, **options))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def read(engine, *requests):
    engine.begin_wait()
    batches = [engine.request(request) for request in requests]
    return [engine.read(batch) for batch in batches]


def test_samples_come_in_sampler_order_whatever_order_they_are_read_in(engine_over):
    dataset = TwoPhase()
    assert read(engine_over(dataset), [3, 1, 3], [0]) == [[31, 11, 31], [1]]
    assert dataset.processed == [3, 1, 3, 0]


def test_without_batching_a_request_gives_one_sample(engine_over):
    assert read(engine_over(TwoPhase(), auto_collation=False), 4, 2) == [41, 21]


def test_a_dataset_of_batches_is_asked_once_a_batch(engine_over):
    calls = []
    dataset = Batched(lambda index: calls.append(index) or index)
    assert read(engine_over(dataset, workers=1), [3, 1], [2]) == [[3, 1], [2]]
    assert calls == [3, 1, 2]


@pytest.mark.parametrize("phase", ["fetch", "process"])
def test_samples_after_a_failing_one_are_not_processed_and_the_next_batch_is_whole(engine_over, phase):
    dataset = TwoPhase(phase, ValueError("bad"))
    engine = engine_over(dataset)
    first, second = engine.request([0, 2, 1]), engine.request([4])
    with pytest.raises(ValueError, match="bad") as caught:
        engine.read(first)
    assert caught.value.__notes__ == ["while loading sample 2"]
    assert engine.read(second) == [41]
    assert dataset.processed == [0, 4]


def test_an_error_object_that_is_raised_again_collects_no_notes(engine_over):
    error = ValueError("bad")
    engine = engine_over(TwoPhase("fetch", error))
    for _ in range(3):
        with pytest.raises(ValueError):
            read(engine, [2])
    assert len(error.__notes__) == 1


@dataclasses.dataclass(frozen=True)
class FrozenError(Exception):
    reason: str


def test_an_error_that_takes_no_note_is_still_the_one_that_is_raised(engine_over):
    with pytest.raises(FrozenError) as caught:
        read(engine_over(TwoPhase("fetch", FrozenError("bad"))), [2])
    assert caught.value.reason == "bad"


def test_the_note_on_a_huge_batch_is_short(engine_over):
    def fail(index):
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad") as caught:
        read(engine_over(Batched(fail)), list(range(100_000)))
    assert caught.value.__notes__[0].startswith("while loading the batch of samples [0, 1, 2,")
    assert len(caught.value.__notes__[0]) < 200


@pytest.mark.parametrize("phase", ["fetch", "process"])
def test_a_stop_iteration_becomes_an_error_that_ends_no_epoch(engine_over, phase):
    with pytest.raises(DatasetError, match="raised StopIteration for sample 2"):
        read(engine_over(TwoPhase(phase, StopIteration())), [2])


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_what_ends_a_process_is_no_sample_to_skip(engine_over, error):
    with pytest.raises(type(error)):
        read(engine_over(TwoPhase("fetch", error), on_error="skip"), [0, 2])


def test_more_requests_than_places_are_all_read(engine_over):
    requests = [[number] for number in range(30)]
    assert read(engine_over(TwoPhase(), batch_pool=1), *requests) == [[number * 10 + 1] for number in range(30)]


def test_a_batch_that_is_never_read_does_not_hold_up_the_ones_behind_it(engine_over):
    engine = engine_over(TwoPhase(), batch_pool=1)
    engine.request([0])
    assert engine.read(engine.request([1])) == [11]


def test_a_closed_engine_gives_no_samples_and_does_not_wait(engine_over):
    engine = engine_over(TwoPhase())
    engine.close()
    with pytest.raises(FetchCancelled):
        read(engine, [1])


def test_random_draws_of_a_plain_dataset_are_told_once(engine_over):
    told = []
    engine = engine_over(Plain(lambda index: random.random()), on_random_draws=lambda: told.append(1))
    read(engine, [0, 1], [2, 3])
    assert told == [1]


@pytest.mark.parametrize(
    ("dataset", "workers"), [(Plain(lambda index: random.random()), 1), (TwoPhase(), 4), (Plain(), 4)]
)
def test_nothing_is_told_where_no_two_samples_share_a_generator(engine_over, dataset, workers):
    told = []
    read(engine_over(dataset, workers=workers, on_random_draws=lambda: told.append(1)), [0, 1], [2, 3])
    assert told == []


class RefusedThrice(TwoPhase):
    """The store refuses number 99 three times, for the rate."""

    def fetch(self, index):
        if index == 99:
            for _ in range(3):
                report_retry(throttled=True)
        return super().fetch(index)


@pytest.mark.parametrize(("in_order", "limit"), [(True, 7), (False, 32)])
def test_amid_refusals_the_first_workers_number_counts_where_batches_are_read_in_turn(engine_over, in_order, limit):
    board = StatsBoard(2, [0.0] * StatsBoard.size(2))
    engine = engine_over(RefusedThrice(), workers=64, in_order=in_order, counters=board.worker(1))
    engine.read(engine.request([0]))
    assert board.read()[1].fetch_workers == 64
    engine.read(engine.request([99]))
    assert board.read()[1].fetch_workers == 32
    board.worker(0).lead(7, float("inf"))
    engine.read(engine.request([1]))
    assert board.read()[1].fetch_workers == limit
