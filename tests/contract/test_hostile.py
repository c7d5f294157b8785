"""What must not hang, lose, double or reorder: forks, Ctrl-C, exits, and errors of odd kinds."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import warnings

import pytest
import torch
from contract_datasets import Failing, TwoPhase, assert_same, identity, seed_everything
from contract_loaders import indices, workers_0_and_2
from torch.utils.data import RandomSampler

from concurrent_dataloader import DataLoader

IMPLS = pytest.mark.parametrize("impl", ["threaded", "asyncio"])
SCRIPTS = pytest.mark.parametrize(("workers", "impl"), [(0, "threaded"), (0, "asyncio"), (1, "threaded")])
WAIT_S = 60


class Simple(TwoPhase):
    """Samples that own no tensor, so that a forked process can return them."""

    def process(self, index, raw):
        return index


def reads_in_child(iterator):
    """Whether a forked process gets the same rest of the iterator as this one does afterwards."""
    receiver, sender = multiprocessing.get_context("fork").Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(WAIT_S)
            sender.send(list(iterator))
        finally:
            os._exit(0)
    assert receiver.poll(WAIT_S)
    found = receiver.recv()
    os.waitpid(child, 0)
    return found == list(iterator) != []


@IMPLS
def test_a_forked_process_can_go_on_with_an_iterator_that_has_no_workers(impl):
    loader = DataLoader(Simple(40), 3, num_fetch_workers=2, fetch_impl=impl, batch_pool=4, collate_fn=list)
    iterator = iter(loader)
    assert next(iterator) == [0, 1, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        assert reads_in_child(iterator)


@IMPLS
@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_with_workers_may_start_while_another_without_is_being_read(impl, workers):
    first = iter(DataLoader(Simple(), 3, fetch_impl=impl, collate_fn=list))
    assert next(first) == [0, 1, 2]
    second = DataLoader(Simple(4), 2, num_workers=workers, fetch_impl=impl, collate_fn=list)
    assert list(second) == [[0, 1], [2, 3]]
    assert sum(first, []) == list(range(3, 23))


class StopsReading:
    """An index that ends the process that unpickles it."""

    def __reduce__(self):
        return sys.exit, ("unpickled",)


def test_an_index_that_ends_the_worker_which_receives_it_is_no_hang(loader):
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        list(loader(Simple(), batch_sampler=[[0], [StopsReading()]], num_workers=1, collate_fn=identity))


class FailsWithoutTensors(Failing):
    """A tensor needs its worker until it has arrived: without any, the worker's end is all that can be noticed."""

    def process(self, index, raw):
        super().process(index, raw)
        return index


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("phase", ["fetch", "process"])
def test_what_ends_a_process_ends_the_worker_that_meets_it(loader, phase, error):
    dataset = FailsWithoutTensors({3: phase}, error)
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        list(loader(dataset, batch_size=2, num_workers=1, collate_fn=identity))


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=repr)
@pytest.mark.parametrize("phase", ["fetch", "process"])
def test_without_workers_it_reaches_the_caller_as_it_is(loader, phase, error):
    iterator = iter(loader(Failing({3: phase}, error, 6), batch_size=2))
    assert indices([next(iterator)]) == [[0, 1]]
    with pytest.raises(type(error)):
        next(iterator)
    assert indices(iterator) == [[4, 5]]


def local_error():
    class Local(Exception):
        """Cannot be found by its name in another process."""

    return Local("bad")


def test_an_error_whose_class_cannot_be_pickled_is_an_error_and_not_a_hang():
    iterator = iter(DataLoader(Failing({1: "fetch"}, local_error(), 4), num_workers=1))
    assert indices([next(iterator)]) == [[0]]
    with pytest.raises(RuntimeError, match=r"cannot be sent to the main process|Local"):
        next(iterator)
    assert indices(iterator) == [[2], [3]]


@workers_0_and_2
@pytest.mark.parametrize("error", [KeyError(("a", 1)), KeyError(3), OSError(2, "gone", "file")], ids=repr)
def test_errors_with_odd_arguments_keep_their_type(loader, workers, error):
    with pytest.raises(type(error)):
        list(loader(Failing({1: "fetch"}, error), num_workers=workers))


class Flaky:
    """A sampler that fails once and then goes on."""

    def __iter__(self):
        self.drawn = 0
        return self

    def __next__(self):
        self.drawn += 1
        if self.drawn == 3:
            raise OSError("once")
        if self.drawn >= 6:
            raise StopIteration
        return self.drawn


def test_a_sampler_that_fails_once_loses_nothing_without_workers(loader):
    iterator = iter(loader(Simple(), sampler=Flaky(), batch_size=None))
    assert [next(iterator), next(iterator)] == [1, 2]
    with pytest.raises(OSError, match="once"):
        next(iterator)
    assert list(iterator) == [4, 5]


class DrawsFromTheSamplersGenerator(TwoPhase):
    def __init__(self, generator):
        super().__init__(7)
        self.generator = generator

    def process(self, index, raw):
        return index, torch.rand((), generator=self.generator)


@pytest.mark.parametrize("arguments", [{}, {"replacement": True, "num_samples": 70}, {"num_samples": 20}], ids=str)
@pytest.mark.parametrize("shared", ["own", "default"])
def test_a_dataset_that_draws_from_its_samplers_generator_gets_torchs_numbers(arguments, shared):
    def read(cls):
        seed_everything()
        generator = torch.default_generator if shared == "default" else torch.Generator().manual_seed(3)
        dataset = DrawsFromTheSamplersGenerator(generator)
        loader = cls(dataset, 2, sampler=RandomSampler(dataset, generator=generator, **arguments))
        return list(loader), list(loader)

    assert_same(read(DataLoader), read(torch.utils.data.DataLoader))


@workers_0_and_2
@IMPLS
def test_a_loader_may_be_read_in_a_thread(workers, impl):
    found = []
    loader = DataLoader(Simple(), 4, num_workers=workers, fetch_impl=impl, collate_fn=list)
    thread = threading.Thread(target=lambda: found.extend(loader))
    thread.start()
    thread.join(WAIT_S)
    assert sum(found, []) == list(range(23))


def test_workers_started_by_a_global_spawn_method_read_as_torchs_do():
    code = """
        import torch
        from contract_datasets import TwoPhase, seed_everything
        from concurrent_dataloader import DataLoader

        if __name__ == "__main__":
            torch.multiprocessing.set_start_method("spawn")
            seed_everything()
            print([batch["index"].tolist() for batch in DataLoader(TwoPhase(5), 2, num_workers=1)])
        """
    assert run(code).stdout.strip() == "[[0, 1], [2, 3], [4]]"


NEVER_ENDS = """
    import asyncio, os, signal, threading
    import torch
    from contract_datasets import TwoPhase
    from concurrent_dataloader import DataLoader

    class NeverEnds(TwoPhase):
        def fetch(self, index):
            if index > 3:
                threading.Event().wait()
            return super().fetch(index)

        async def afetch(self, index):
            if index > 3:
                await asyncio.Event().wait()
            return super().fetch(index)

    loader = DataLoader(NeverEnds(), num_workers={workers}, fetch_impl="{impl}", persistent_workers={workers} > 0)
    """


def run(code):
    """Runs a script of its own in the folder of these tests; it must end by itself, and soon."""
    with_folder = f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})\n" + textwrap.dedent(code)
    return subprocess.run([sys.executable, "-c", with_folder], capture_output=True, text=True, timeout=WAIT_S)


@SCRIPTS
def test_the_interpreter_exits_at_once_although_an_iterator_is_alive_and_fetches_are_out(workers, impl):
    code = NEVER_ENDS + "iterator = iter(loader)\n    print(next(iterator)['index'].item())"
    ended = run(code.replace("{workers}", str(workers)).replace("{impl}", impl))
    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, "0", "")


@SCRIPTS
def test_ctrl_c_reaches_the_caller_while_a_fetch_is_out_and_the_process_ends(workers, impl):
    code = (
        NEVER_ENDS
        + """
    try:
        for batch in loader:
            if batch["index"].item() == 3:  # the next one never comes
                threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    except KeyboardInterrupt:
        print("interrupted")
    """
    )
    ended = run(code.replace("{workers}", str(workers)).replace("{impl}", impl))
    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, "interrupted", "")
