"""A state machine drives a loader and a model of it through random faults: answers are equal, and nothing is left."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from scripted import FAULTS, Gate, Model, Scripted, stand_in

from benchmarking.soak.gauges import SHARED_MEMORY, Gauges, leaks_since
from concurrent_dataloader import DataLoader

SIZE = 24
PATIENCE_S = 20.0  # with which a dead worker must have been noticed: torch looks at its workers every 5 s
SCRIPTS = st.dictionaries(st.integers(0, SIZE - 1), st.sampled_from(FAULTS), max_size=8)
BATCHES = st.lists(st.lists(st.integers(0, SIZE - 1), min_size=1, max_size=5), max_size=9)  # indices may repeat
OPTIONS = st.fixed_dictionaries(
    {
        "num_workers": st.sampled_from([0, 0, 1, 2]),
        "fetch_impl": st.sampled_from(["threaded", "asyncio"]),
        "num_fetch_workers": st.sampled_from([None, 1, 3, 16]),
        "batch_pool": st.sampled_from([None, 1, 3]),
        "on_error": st.sampled_from(["raise", "skip", stand_in]),
        "max_error_rate": st.sampled_from([1.0, 0.02]),
        "hedging": st.booleans(),
    }
)


@functools.cache
def _warm_up() -> None:
    """Makes what a process opens once and keeps for good: the pipe by which uvloop takes in signals."""
    list(DataLoader(Scripted(1, {}), fetch_impl="asyncio"))
    gc.collect()


class LoaderMachine(RuleBasedStateMachine):
    """One loader at a time, with one or two iterators, beside the model of each."""

    @initialize(script=SCRIPTS, batches=BATCHES, options=OPTIONS, persistent=st.booleans())
    def make_loader(self, script: Any, batches: Any, options: Any, persistent: bool) -> None:
        self.gate = Gate()
        _warm_up()
        self.before = Gauges.read()
        self.pids: set[int] = set()
        self.persistent = persistent and options["num_workers"] > 0
        self.loader = DataLoader(
            Scripted(SIZE, script, self.gate),
            batch_sampler=batches,
            persistent_workers=self.persistent,
            prefetch_factor=2 if options["num_workers"] else None,
            **options,
        )
        self.script, self.batches, self.options = script, batches, options
        self.iterators: list[tuple[Any, Model]] = []
        self.failed_before: list[tuple[int, str]] = []  # in earlier epochs of persistent workers

    def _model(self) -> Model:
        return Model(self.script, self.options["on_error"], self.options["max_error_rate"], self.batches)

    @precondition(lambda self: self.persistent or len(self.iterators) < 2)
    @rule()
    def start_epoch(self) -> None:
        if self.persistent and self.iterators:
            self.gate.open()  # torch first has the workers end what they were asked for
            self.failed_before += self.iterators.pop()[1].failed_samples
        iterator = iter(self.loader)
        self.pids.update(worker.pid for worker in getattr(iterator, "_workers", ()))
        self.iterators.append((iterator, self._model()))
        self.latest = self.iterators[-1][1]

    @precondition(lambda self: self.iterators)
    @rule(which=st.integers(0, 1))
    def read_a_batch(self, which: int) -> None:
        iterator, model = self.iterators[which % len(self.iterators)]
        if model.needs_gate:
            self.gate.open()
        if model.is_at_end:
            with pytest.raises(StopIteration):
                next(iterator)
            return
        expected = model.next()
        if isinstance(expected, list):
            _assert_is(next(iterator), expected)
            return
        with pytest.raises(Exception) as caught:
            next(iterator)
        text = str(caught.value) + "".join(getattr(caught.value, "__notes__", ()))
        assert expected in text

    @precondition(lambda self: self.iterators)
    @rule(which=st.integers(0, 1))
    def read_to_the_end(self, which: int) -> None:
        iterator, model = self.iterators[which % len(self.iterators)]
        while not model.is_at_end:
            self.read_a_batch(which)
        with pytest.raises(StopIteration):
            next(iterator)
        if model is self.latest:  # whose the statistics are
            failed = [(each.index, each.name) for each in self.loader.stats().failed_samples]
            assert failed == (self.failed_before if self.persistent else []) + model.failed_samples

    @precondition(lambda self: self.iterators and not self.persistent)
    @rule(which=st.integers(0, 1))
    def break_off(self, which: int) -> None:
        del self.iterators[which % len(self.iterators)]

    @rule()
    def open_the_gate(self) -> None:
        self.gate.open()

    @precondition(lambda self: self.iterators and self.options["num_workers"])
    @rule(which=st.integers(0, 1), worker=st.integers(0, 1))
    def kill_a_worker(self, which: int, worker: int) -> None:
        """Batches that have arrived may still be handed out, rightly; then torch's error must come, and soon."""
        self.gate.open()
        iterator, model = self.iterators.pop(which % len(self.iterators))
        workers = iterator._workers
        began_s = time.monotonic()
        victim = workers[worker % len(workers)]
        with contextlib.suppress(ProcessLookupError):  # at the end of an epoch they have ended
            os.kill(victim.pid, signal.SIGKILL)
        while _read_beside_a_dead_worker(iterator, model):
            pass
        assert time.monotonic() - began_s < PATIENCE_S
        victim.join()
        for segment in Path(SHARED_MEMORY).glob(f"torch_{victim.pid}_*"):
            segment.unlink()  # between making and unlinking it torch can be killed, and nobody else knows of it
        del iterator, workers, victim
        self._drop_all()
        self.make_loader(self.script, self.batches, self.options, self.persistent)

    def _drop_all(self) -> None:
        self.gate.open()
        self.iterators.clear()
        loader, self.loader = self.loader, None
        stats, loader_dataset = loader.stats, loader.dataset
        loader._iterator = None  # as collecting the loader would
        leaks = leaks_since(self.before, processes=self.pids)
        assert not leaks, leaks
        assert stats().total.in_flight == 0
        del loader, stats, loader_dataset
        self.gate.close()

    def teardown(self) -> None:
        if getattr(self, "loader", None) is not None:
            self._drop_all()


def _read_beside_a_dead_worker(iterator: Any, model: Model) -> bool:
    """Reads one batch; returns False once the epoch has ended, or the death was told."""
    expected = None if model.is_at_end else model.next()
    try:
        found = next(iterator)
    except StopIteration:
        assert expected is None
        return False
    except Exception as error:
        if str(error).startswith("DataLoader worker (pid"):
            return False
        text = str(error) + "".join(getattr(error, "__notes__", ()))
        if not isinstance(expected, str) or expected not in text:
            raise
    else:
        assert isinstance(expected, list)
        _assert_is(found, expected)
    return True


def _assert_is(found: list[torch.Tensor], expected: list[int]) -> None:
    indices, values = found
    assert indices.tolist() == expected
    assert values[:, 0].tolist() == [0 if index < 0 else index * 7 + 1 for index in expected]


def _run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        LoaderMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            phases=[Phase.generate],  # to shrink what waits for processes and threads takes for ever
        ),
    )


def test_random_faults_breaks_epochs_and_dead_workers_give_what_the_model_says_and_leave_nothing_behind():
    _run(examples=25, steps=12)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_more_of_them_do_too():
    _run(examples=250, steps=30)
