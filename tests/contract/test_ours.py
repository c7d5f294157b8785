"""What our loader adds to torch's: its arguments, its place in frameworks, and its promises under failure."""

from __future__ import annotations

import gc
import inspect
import multiprocessing
import threading
import warnings

import pytest
import torch
from contract_datasets import Async, Failing, Plain, PlainWithDraws, TwoPhase, assert_same, seed_everything

import concurrent_dataloader
from concurrent_dataloader import ConcurrentDataset, DataLoader
from concurrent_dataloader.dataloader_mod.dataloader import DataLoader as DataLoaderParallel
from concurrent_dataloader.dataloader_mod.random_state import RandomStateWarning
from concurrent_dataloader.dataloader_mod.worker import _worker_loop as _worker_loop_parallel


def test_the_documented_names_are_the_same_objects():
    assert DataLoaderParallel is DataLoader is concurrent_dataloader.DataLoader
    assert issubclass(DataLoader, torch.utils.data.DataLoader)
    assert DataLoader[int] is not None


def test_torchs_arguments_keep_their_positions_and_defaults():
    torchs = inspect.signature(torch.utils.data.DataLoader.__init__).parameters
    ours = inspect.signature(DataLoader.__init__).parameters
    assert list(ours)[: len(torchs)] == list(torchs)
    for name, parameter in torchs.items():
        assert (ours[name].kind, ours[name].default) == (parameter.kind, parameter.default)


def test_every_argument_is_an_attribute_of_its_name_so_that_lightning_can_rebuild_the_loader():
    loader = DataLoader(
        TwoPhase(), batch_size=4, num_workers=1, num_fetch_workers=3, batch_pool=5, fetch_impl="asyncio"
    )
    names = [name for name in inspect.signature(DataLoader.__init__).parameters if name not in ("self", "shuffle")]
    arguments = {name: getattr(loader, name) for name in names}
    again = DataLoader(**{**arguments, "batch_sampler": None, "multiprocessing_context": None})
    assert [getattr(again, n) for n in ("num_fetch_workers", "batch_pool", "fetch_impl")] == [3, 5, "asyncio"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_fetch_workers": 0}, "num_fetch_workers should be a positive integer, 'auto' or None, but got 0"),
        ({"num_fetch_workers": True}, "num_fetch_workers should be"),
        ({"num_fetch_workers": "many"}, "num_fetch_workers should be"),
        ({"fetch_impl": "trio"}, "fetch_impl should be one of threaded, asyncio, vanilla, but got 'trio'"),
        ({"batch_pool": 0}, "batch_pool should be a positive number of batches"),
        ({"on_error": "ignore"}, "on_error should be 'raise', 'skip' or a callable"),
        ({"on_error": "skip", "fetch_impl": "vanilla"}, "on_error needs fetch_impl"),
        ({"on_error": "skip", "batch_size": None}, "on_error='skip' needs automatic batching"),
    ],
)
def test_a_wrong_argument_is_refused_at_construction_and_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        DataLoader(TwoPhase(), **arguments)


def test_an_async_dataset_under_threads_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match="fetch_impl='asyncio'"):
        DataLoader(Async())


def test_changing_the_import_alone_runs_no_plain_dataset_in_threads():
    class TellsThread(Plain):
        def __getitem__(self, index):
            return threading.current_thread() is threading.main_thread()

    assert all(batch.all() for batch in DataLoader(TellsThread(), batch_size=4))


def test_process_runs_in_the_main_thread_and_fetch_does_not():
    class TellsThread(TwoPhase):
        def fetch(self, index):
            return threading.current_thread() is threading.main_thread()

        def process(self, index, raw):
            return raw, threading.current_thread() is threading.main_thread()

    for workers in (0, 1):
        for in_fetch, in_process in DataLoader(TellsThread(), batch_size=4, num_workers=workers):
            assert not in_fetch.any()
            assert in_process.all()


def _patched(monkeypatch):
    monkeypatch.setattr(torch.utils.data._utils.worker, "_worker_loop", _worker_loop_parallel)


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_the_documented_patch_of_torchs_worker_loop_is_harmless(monkeypatch, context):
    _patched(monkeypatch)
    common = {"batch_size": 4, "num_workers": 1, "multiprocessing_context": context}
    for dataset in (TwoPhase(), Plain()):
        seed_everything()
        vanilla = list(torch.utils.data.DataLoader(dataset, **common))
        seed_everything()
        assert_same(list(DataLoader(dataset, **common)), vanilla)
        assert len(vanilla) == 6


@pytest.mark.parametrize("workers", [0, 2])
def test_a_failing_sample_is_named_by_index_key_and_worker(workers):
    loader = DataLoader(Failing({5: "fetch"}, ValueError("bad")), batch_size=4, num_workers=workers)
    with pytest.raises(ValueError) as caught:
        list(loader)
    text = str(caught.value) + "".join(getattr(caught.value, "__notes__", []))
    assert "sample 5 (key-5)" in text
    assert workers == 0 or "worker process 1" in text


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stop_iteration_out_of_a_dataset_does_not_end_the_epoch_silently(workers):
    loader = DataLoader(Failing({5: "process"}, StopIteration()), batch_size=4, num_workers=workers)
    with pytest.raises(RuntimeError, match="StopIteration"):
        list(loader)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("phase", ["fetch", "process"])
def test_on_error_skip_leaves_out_exactly_the_failing_samples(workers, phase):
    dataset = Failing({1: phase, 5: phase}, ValueError("bad"), 9)
    found = list(DataLoader(dataset, batch_size=4, num_workers=workers, on_error="skip"))
    assert [batch["index"].tolist() for batch in found] == [[0, 2, 3], [4, 6, 7], [8]]


def stand_in(index, error):
    return {"index": -index, "raw": 0, "worker": 0, "draws": torch.zeros(3, dtype=torch.float64)}


@pytest.mark.parametrize("workers", [0, 2])
def test_on_error_callable_gives_the_stand_in(workers):
    dataset = Failing({1: "fetch", 5: "process"}, ValueError("bad"), 6)
    found = list(DataLoader(dataset, batch_size=3, num_workers=workers, on_error=stand_in))
    assert [batch["index"].tolist() for batch in found] == [[0, -1, 2], [3, 4, -5]]


def test_a_batch_of_which_nothing_is_left_is_an_error():
    dataset = Failing({0: "fetch", 1: "fetch"}, ValueError("bad"), 4)
    with pytest.raises(RuntimeError, match="all its 2 samples failed"):
        list(DataLoader(dataset, batch_size=2, on_error="skip"))


class Unpicklable(TwoPhase):
    def process(self, index, raw):
        return (lambda: None) if index == 1 else index


def test_a_batch_that_cannot_be_sent_is_an_error_and_not_a_hang():
    iterator = iter(DataLoader(Unpicklable(4), batch_size=None, num_workers=1))
    assert next(iterator) == 0
    with pytest.raises(RuntimeError, match="cannot be sent to the main process"):
        next(iterator)
    assert list(iterator) == [2, 3]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("impl", ["threaded", "asyncio"])
def test_a_plain_dataset_that_draws_in_threads_is_reported_once_with_the_remedy(workers, impl):
    loader = DataLoader(PlainWithDraws(), 4, num_workers=workers, num_fetch_workers=4, fetch_impl=impl)
    with pytest.warns(RandomStateWarning, match="process\\(index, raw\\)") as caught:
        found = list(loader)
    assert len(caught) == 1
    assert torch.cat([index for index, _ in found]).tolist() == list(range(23))


@pytest.mark.parametrize("dataset", [Plain(), TwoPhase()], ids=["plain", "two-phase"])
def test_datasets_that_do_not_draw_in_threads_are_not_reported(dataset):
    def draw_in_collate(samples):
        torch.rand(3)
        return len(samples)

    with warnings.catch_warnings():
        warnings.simplefilter("error", RandomStateWarning)
        assert sum(DataLoader(dataset, 4, num_fetch_workers=4, collate_fn=draw_in_collate)) == 23


@pytest.mark.parametrize("workers", [0, 2])
def test_concurrent_dataset_gives_the_same_batches_under_torchs_own_loader(workers):
    def read(dataset):
        seed_everything()
        return list(torch.utils.data.DataLoader(dataset, batch_size=4, shuffle=True, num_workers=workers))

    assert_same(read(ConcurrentDataset(TwoPhase(), num_fetch_workers=8)), read(TwoPhase()))
    assert_same(read(ConcurrentDataset(TwoPhase(), fetch_impl="asyncio")), read(TwoPhase()))


class Meets(TwoPhase):
    """Every fetch waits until ``together`` of them are out: it ends only if they really are in flight at once."""

    def __init__(self, together, size):
        super().__init__(size)
        self.barrier = threading.Barrier(together)

    def fetch(self, index):
        self.barrier.wait(timeout=60)
        return super().fetch(index)


@pytest.mark.parametrize("workers", [0, 1])
def test_samples_of_several_batches_are_in_flight_at_once(workers):
    loader = DataLoader(Meets(12, 24), batch_size=4, num_workers=workers, num_fetch_workers=12, batch_pool=3)
    assert len(list(loader)) == 6


def test_more_batches_than_the_prefetch_factor_are_sent_where_batch_pool_asks_for_it():
    loader = DataLoader(
        Meets(10, 20), batch_size=2, num_workers=1, prefetch_factor=1, batch_pool=5, num_fetch_workers=10
    )
    assert len(list(loader)) == 10


def test_an_iterator_that_is_collected_in_a_cycle_lets_its_workers_end_by_themselves():
    def fail_in_worker():
        loader = DataLoader(Failing({0: "fetch"}, ValueError("bad")), num_workers=2)
        with pytest.raises(ValueError, match="bad"):
            list(loader)  # torch's way of raising a worker's error makes the cycle

    gc.collect()
    gc.disable()
    try:
        before = set(multiprocessing.active_children())
        fail_in_worker()
        workers = set(multiprocessing.active_children()) - before
        gc.collect()
    finally:
        gc.enable()
    assert [worker.exitcode for worker in workers] == [0, 0]


class RefusesConcurrency(TwoPhase):
    def set_fetch_concurrency(self, requests):
        raise ValueError(f"not {requests} at once")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_dataset_that_refuses_the_number_of_fetches_is_told_of_by_its_own_error(workers):
    with pytest.raises(ValueError, match="not 7 at once"):
        list(DataLoader(RefusesConcurrency(), num_workers=workers, num_fetch_workers=7))
