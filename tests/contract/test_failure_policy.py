"""The edges of on_error and max_error_rate, and that a run which was broken off goes on with exactly the rest."""

from __future__ import annotations

import asyncio
import logging
import pickle
import threading

import pytest
from contract_datasets import Failing, TwoPhase
from torch.utils.data import BatchSampler, SequentialSampler

from concurrent_dataloader import DataLoader
from concurrent_dataloader._base.errors import DatasetError

WORKERS = pytest.mark.parametrize("workers", [0, 2])
SIZE, BATCH = 12, 4


class Numbers(Failing):
    """Its samples are their indices."""

    def process(self, index, raw):
        super().process(index, raw)
        return index


def read(bad, workers, on_error="skip", size=SIZE, **options):
    dataset = Numbers(bad, ValueError("bad"), size)
    loader = DataLoader(dataset, num_workers=workers, on_error=on_error, **{"batch_size": BATCH} | options)
    return [batch.tolist() for batch in loader]


@WORKERS
def test_a_rate_of_0_bears_no_failure_and_a_run_without_one_passes(workers):
    assert read({}, workers, max_error_rate=0.0) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    with pytest.raises(RuntimeError, match=r"1 of the epoch's 12 samples failed, more than max_error_rate=0 allows"):
        read({11: "process"}, workers, max_error_rate=0.0)


@WORKERS
def test_a_rate_of_1_bears_all_but_a_batch_of_which_nothing_is_left(workers):
    most = dict.fromkeys((0, 1, 2, 4, 5, 6, 9, 10, 11), "fetch")
    assert read(most, workers, max_error_rate=1.0) == [[3], [7], [8]]
    with pytest.raises(RuntimeError, match="all its 4 samples failed"):
        read(most | {3: "fetch"}, workers, max_error_rate=1.0)


@WORKERS
def test_a_first_sample_that_fails_is_measured_against_the_whole_epoch(workers):
    assert read({0: "fetch"}, workers, max_error_rate=1 / SIZE)[0] == [1, 2, 3]
    with pytest.raises(RuntimeError, match="1 of the epoch's 12 samples failed"):
        read({0: "fetch"}, workers, max_error_rate=0.9 / SIZE)


def refuse(index, error):
    raise LookupError(f"no stand-in for {index}") from error


@WORKERS
@pytest.mark.parametrize("phase", ["fetch", "process"])
def test_a_callable_that_raises_costs_its_batch_and_the_next_ones_come(workers, phase):
    loader = DataLoader(Numbers({5: phase}, ValueError("bad"), SIZE), BATCH, num_workers=workers, on_error=refuse)
    batches = iter(loader)
    assert next(batches).tolist() == [0, 1, 2, 3]
    with pytest.raises(LookupError, match="no stand-in for 5"):
        next(batches)
    assert next(batches).tolist() == [8, 9, 10, 11]


def stop(index, error):
    raise StopIteration


@WORKERS
def test_what_a_callable_raises_names_the_sample(workers):
    with pytest.raises(LookupError) as told:
        read({0: "fetch"}, workers, on_error=refuse)
    assert "while on_error replaced sample 0" in "".join([str(told.value), *getattr(told.value, "__notes__", ())])
    with pytest.raises(DatasetError, match=r"on_error raised StopIteration for sample 0"):
        read({0: "fetch"}, workers, on_error=stop)


def nothing(index, error):
    return None


@WORKERS
def test_a_callable_that_returns_none_gives_the_collate_function_none(workers):
    loader = DataLoader(
        Numbers({5: "fetch"}, ValueError("bad"), SIZE), BATCH, num_workers=workers, on_error=nothing, collate_fn=list
    )
    assert list(loader) == [[0, 1, 2, 3], [4, None, 6, 7], [8, 9, 10, 11]]


def test_a_callable_that_cannot_be_pickled_is_an_error_at_the_start_of_spawned_workers():
    loader = DataLoader(
        Numbers({}, ValueError("bad"), SIZE),
        BATCH,
        num_workers=1,
        multiprocessing_context="spawn",
        on_error=lambda index, error: -1,
    )
    with (
        pytest.warns(UserWarning, match="pickle"),
        pytest.raises((pickle.PicklingError, AttributeError), match="lambda"),
    ):
        iter(loader)


@WORKERS
def test_a_run_that_goes_on_from_a_batch_gives_what_the_whole_run_gave_from_there(workers):
    bad = {1: "fetch", 6: "process", 9: "fetch"}
    whole = read(bad, workers)
    for done in range(1, SIZE // BATCH):
        rest = list(BatchSampler(SequentialSampler(range(SIZE)), BATCH, drop_last=False))[done:]
        dataset = Numbers(bad, ValueError("bad"), SIZE)
        resumed = DataLoader(dataset, batch_sampler=rest, num_workers=workers, on_error="skip")
        assert [batch.tolist() for batch in resumed] == whole[done:]  # no batch was filled up from another


class StuckUntilTold(TwoPhase):
    """Sample 5 waits until a stall has been told twice, in whichever process it is fetched."""

    def fetch(self, index):
        if index == 5:
            logger = logging.getLogger("concurrent_dataloader.dataloader_mod.stall")
            told = Told()
            logger.addHandler(told)
            assert told.twice.wait(60)
            logger.removeHandler(told)
            (self.folder / "stall.txt").write_text("\n".join(told.texts))
        return super().fetch(index)

    def describe(self, index):
        return f"key-{index}"


class Told(logging.Handler):
    def __init__(self):
        super().__init__()
        self.texts, self.twice = [], threading.Event()

    def emit(self, record):
        self.texts.append(record.getMessage())
        if len(self.texts) == 2:
            self.twice.set()


class AsyncStuckUntilTold(StuckUntilTold):
    async def afetch(self, index):
        return await asyncio.to_thread(self.fetch, index)


@WORKERS
@pytest.mark.parametrize("impl", ["threaded", "asyncio"])
def test_a_stall_is_told_again_and_again_by_the_process_that_waits_with_key_age_attempts_and_stacks(
    workers, impl, tmp_path
):
    dataset = (StuckUntilTold if impl == "threaded" else AsyncStuckUntilTold)(SIZE)
    dataset.folder = tmp_path
    options = {"num_fetch_workers": 4, "stall_timeout": 0.05, "hedging": False, "fetch_impl": impl}
    assert len(list(DataLoader(dataset, BATCH, num_workers=workers, **options))) == 3
    text = (tmp_path / "stall.txt").read_text()
    assert text.count("(stall_timeout=0.05)") == 2
    assert "sample 5 (key-5): out for" in text
    assert "MainThread" in text  # whose stack shows where the process waits
    assert "in fetch" in text


def test_a_stall_timeout_of_none_is_off_and_one_of_0_is_refused_with_what_is_expected():
    assert len(list(DataLoader(TwoPhase(8), 4, stall_timeout=None))) == 2
    with pytest.raises(ValueError, match="stall_timeout should be a positive number of seconds or None, but got 0"):
        DataLoader(TwoPhase(8), 4, stall_timeout=0)
