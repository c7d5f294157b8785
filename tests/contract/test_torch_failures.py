"""How torch's loader fails, as documented, checked on torch's loader and on ours in the same way."""

from __future__ import annotations

import os
import signal

import pytest
from contract_datasets import Failing, TwoPhase
from contract_loaders import indices, workers_0_and_2


class CustomError(Exception):
    """An error of the user's, with the one argument that torch can rebuild."""


class TwoArguments(Exception):
    """An error that cannot be rebuilt from its message."""

    def __init__(self, one, two):
        super().__init__(one, two)


def break_init(worker_id: int) -> None:
    raise CustomError("no luck")


def test_a_failing_worker_init_fn_raises_its_error_at_the_first_batch(loader):
    with pytest.raises(CustomError, match=r"worker process 0(.|\n)*no luck"):
        next(iter(loader(TwoPhase(), num_workers=1, worker_init_fn=break_init)))


@workers_0_and_2
@pytest.mark.parametrize("phase", ["fetch", "process"])
@pytest.mark.parametrize("error", [CustomError("bad"), KeyError("bad"), OSError("bad"), TimeoutError("bad")], ids=repr)
def test_a_failing_sample_raises_its_error_at_its_batch_and_the_rest_still_comes(loader, workers, phase, error):
    iterator = iter(loader(Failing({5: phase}, error, 9), batch_size=2, num_workers=workers))
    assert indices([next(iterator), next(iterator)]) == [[0, 1], [2, 3]]
    with pytest.raises(type(error), match="bad"):
        next(iterator)
    assert indices(iterator) == [[6, 7], [8]]


def test_an_error_that_cannot_be_rebuilt_arrives_as_a_runtime_error(loader):
    with pytest.raises(RuntimeError, match="TwoArguments"):
        list(loader(Failing({0: "fetch"}, TwoArguments("a", "b")), num_workers=1))


@workers_0_and_2
def test_the_first_failing_sample_of_a_batch_is_the_one_that_is_reported(loader, workers):
    with pytest.raises(ValueError, match="bad") as caught:
        list(loader(Failing({2: "process", 3: "fetch"}, ValueError("bad")), batch_size=8, num_workers=workers))
    trace = str(caught.value) + "".join(entry.name for entry in caught.traceback)
    assert "process" in trace.replace("worker process", "")


@workers_0_and_2
def test_a_failing_collate_fn_raises_its_error(loader, workers):
    def collate(samples):
        raise CustomError("cannot collate")

    with pytest.raises(CustomError, match="cannot collate"):
        list(loader(TwoPhase(), collate_fn=collate, num_workers=workers))


class BrokenSampler:
    def __iter__(self):
        yield from [0, 1, 2]
        raise CustomError("sampler")

    def __len__(self):
        return 4


def test_a_failing_sampler_raises_after_the_batches_that_it_gave(loader):
    iterator = iter(loader(TwoPhase(), sampler=BrokenSampler(), batch_size=1))
    assert indices([next(iterator) for _ in range(3)]) == [[0], [1], [2]]
    with pytest.raises(CustomError, match="sampler"):
        next(iterator)


@workers_0_and_2
def test_indices_that_cannot_be_iterated_raise_type_error(loader, workers):
    with pytest.raises(TypeError, match="not iterable"):
        list(loader(TwoPhase(), batch_sampler=[1, 2], num_workers=workers))


class KillsItself(TwoPhase):
    def process(self, index, raw):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_noticed(loader):
    with pytest.raises(RuntimeError, match="exited unexpectedly|killed by signal"):
        list(loader(KillsItself(), num_workers=1))


class NeverReady(TwoPhase):
    def process(self, index, raw):
        signal.pause()


def test_timeout_raises(loader):
    with pytest.raises(RuntimeError, match="timed out after 1 seconds"):
        list(loader(NeverReady(), num_workers=1, timeout=1))


BAD_ARGUMENTS = [
    {"num_workers": -1},
    {"timeout": -1},
    {"prefetch_factor": 2},
    {"num_workers": 1, "prefetch_factor": -1},
    {"persistent_workers": True},
    {"shuffle": True, "sampler": [0]},
    {"batch_sampler": [[0]], "batch_size": 2},
    {"batch_sampler": [[0]], "drop_last": True},
    {"batch_size": None, "drop_last": True},
    {"batch_size": 0},
    {"num_workers": 1, "multiprocessing_context": "bad"},
    {"multiprocessing_context": "fork"},
]


@pytest.mark.parametrize("arguments", BAD_ARGUMENTS, ids=str)
def test_bad_arguments_are_refused_at_construction(loader, arguments):
    with pytest.raises(ValueError):
        loader(TwoPhase(), **arguments)


def test_attributes_that_torch_fixes_cannot_be_set(loader):
    fixed = loader(TwoPhase())
    for name in ("batch_size", "sampler", "batch_sampler", "drop_last", "dataset", "persistent_workers"):
        with pytest.raises(ValueError, match="should not be set"):
            setattr(fixed, name, None)


def test_a_loader_in_a_daemonic_process_is_refused_as_torch_does(loader):
    class Nested(TwoPhase):
        def process(self, index, raw):
            return len(list(loader(TwoPhase(2), num_workers=1)))

    with pytest.raises(AssertionError, match="daemonic processes are not allowed"):
        list(loader(Nested(1), num_workers=1))
