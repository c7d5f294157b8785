"""What users do with a loader besides reading it, checked on torch's loader and on ours in the same way."""

from __future__ import annotations

import copy
import inspect
import pickle
import random
from collections import OrderedDict, namedtuple

import numpy as np
import pytest
import torch
from contract_datasets import Plain, TwoPhase, WorkerInfoDataset, assert_same, identity, seed_everything
from contract_loaders import LOADERS, indices, workers_0_and_2
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset, get_worker_info

Point = namedtuple("Point", "x y")


class Items(Dataset):
    """The given samples, in two phases."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def fetch(self, index):
        return self.items[index]

    def process(self, index, raw):
        return raw

    def __getitem__(self, index):
        return self.process(index, self.fetch(index))


SAMPLES = {
    "named tuples": [Point(1, "a"), Point(2, "b")],
    "mappings": [{"a": 1, "b": [1.0, 2]}, {"a": 2, "b": [3.0, 4]}],
    "ordered mappings": [OrderedDict(a=1), OrderedDict(a=2)],
    "strings": ["a", "b"],
    "bytes": [b"a", b"b"],
    "numpy scalars": [np.float32(1), np.float32(2)],
    "arrays": [np.arange(3), np.arange(3)],
    "tensors": [torch.ones(2, 2), torch.zeros(2, 2)],
    "booleans": [True, False],
    "nested": [([1, (2, "x")],), ([3, (4, "y")],)],
}


@pytest.mark.parametrize("batch_size", [2, None])
@pytest.mark.parametrize("items", SAMPLES.values(), ids=SAMPLES)
def test_samples_of_every_type_are_collated_by_torchs_rules(loader, items, batch_size):
    expected = list(torch.utils.data.DataLoader(Items(items), batch_size=batch_size))
    assert_same(list(loader(Items(items), batch_size=batch_size)), expected)


class Indices(TwoPhase):
    """The sample is the index itself, whatever it is."""

    def fetch(self, index):
        return index

    async def afetch(self, index):
        return index

    def process(self, index, raw):
        return raw


@workers_0_and_2
@pytest.mark.parametrize(
    "sampler", [["a", "b"], [(1, 2), (3,)], [{"a": 1}], [None], [slice(0, 2)], {"x": 1, "y": 2}, [-1, -2]], ids=repr
)
def test_an_index_may_be_anything(loader, workers, sampler):
    class WithoutLength(Indices):
        __len__ = None

    found = loader(WithoutLength(), sampler=sampler, batch_size=None, num_workers=workers, collate_fn=identity)
    assert list(found) == list(sampler)


@workers_0_and_2
def test_a_generator_of_batches_is_read_once(loader, workers):
    once = loader(Indices(), batch_sampler=([i, i + 1] for i in range(3)), num_workers=workers, collate_fn=identity)
    assert list(once) == [[0, 1], [1, 2], [2, 3]]
    assert list(once) == []


@workers_0_and_2
def test_subsets_of_subsets_and_concatenations_take_torchs_indices(loader, workers):
    inner = Subset(TwoPhase(10), np.arange(9, 0, -1))
    outer = ConcatDataset([Subset(inner, torch.tensor([0, 8, 3])), TwoPhase(2)])
    found = loader(outer, sampler=[-1, 0, 1, 2, 3, -5], batch_size=6, num_workers=workers)
    assert indices(found) == [[1, 9, 1, 6, 0, 9]]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_samples_are_made_in_the_callers_gradient_mode(loader, mode, workers):
    class Computes(Plain):
        def __init__(self):
            super().__init__(3)
            self.weight = torch.ones(2, requires_grad=True)

        def __getitem__(self, index):
            return (self.weight * index).requires_grad, torch.is_inference_mode_enabled()

    with mode():
        found = list(loader(Computes(), batch_size=None, num_workers=workers, collate_fn=identity))
    assert found == [(False, mode is torch.inference_mode)] * 3


@pytest.mark.parametrize("workers", [0, 1])
def test_samples_are_made_on_the_default_device_and_of_the_default_type(loader, workers):
    class Computes(Plain):
        def __getitem__(self, index):
            return torch.empty(()).device.type, torch.empty(()).dtype

    torch.set_default_device("cpu")
    torch.set_default_dtype(torch.float64)
    try:
        found = list(loader(Computes(2), batch_size=None, num_workers=workers, collate_fn=identity))
        assert found == [("cpu", torch.float64)] * 2
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)


def test_the_attributes_that_torch_leaves_free_count_from_the_next_epoch_on(loader):
    again = loader(TwoPhase(3), batch_size=2)
    assert indices(again) == [[0, 1], [2]]
    again.collate_fn, again.num_workers, again.prefetch_factor = len, 1, 2
    assert list(again) == [2, 1]
    again.worker_init_fn = refuse
    with pytest.raises(OSError, match="refused"):
        list(again)


def refuse(worker_id):
    raise OSError("refused")


def test_the_context_may_be_set_later_by_name_or_as_an_object(loader):
    again = loader(Indices(2), num_workers=1, batch_size=None)
    for value in ("forkserver", torch.multiprocessing.get_context("fork")):
        again.multiprocessing_context = value
        assert again.multiprocessing_context.get_start_method() == getattr(value, "_name", value)
    assert list(again) == [0, 1]
    with pytest.raises(ValueError, match="should specify a valid start method"):
        again.multiprocessing_context = "bad"
    with pytest.raises(TypeError, match="should be a valid context object"):
        again.multiprocessing_context = object()


def test_more_workers_than_processors_are_warned_of_at_construction_and_at_each_epoch(loader):
    message = "will create 999 worker processes"
    with pytest.warns(UserWarning, match=message):
        many = loader(TwoPhase(2), num_workers=999)
    many.check_worker_number_rationality = pytest.fail  # instead of starting 999 processes
    with pytest.raises(pytest.fail.Exception):
        iter(many)


@pytest.mark.filterwarnings("ignore:.*_MultiProcessingDataLoaderIter:pytest.PytestUnraisableExceptionWarning")
def test_a_prefetch_factor_of_zero_is_refused_when_the_reading_begins(loader):
    idle = loader(TwoPhase(), num_workers=1, prefetch_factor=0)
    with pytest.raises(AssertionError, match="prefetch_factor must be greater than 0"):
        iter(idle)  # torch's own __del__ then stumbles over what it has not set yet


def test_a_timeout_needs_workers(loader):
    with pytest.raises(AssertionError):
        iter(loader(TwoPhase(), timeout=1))


@workers_0_and_2
def test_a_loader_can_be_copied_and_pickled_and_an_iterator_cannot(loader, workers):
    first = loader(Items([1, 2, 3]), batch_size=2, num_workers=workers)
    for again in (copy.copy(first), copy.deepcopy(first), pickle.loads(pickle.dumps(first))):
        assert_same(list(again), list(first))
    with pytest.raises(NotImplementedError):
        pickle.dumps(iter(first))


@pytest.mark.parametrize("name", ["torch", "ours"])
def test_a_subclass_may_add_arguments_and_change_the_iteration(name):
    class Numbered(LOADERS[name]):
        def __init__(self, *args, first=0, **kwargs):
            super().__init__(*args, **kwargs)
            self.first = first

        def __iter__(self):
            return zip(range(self.first, 100), super().__iter__(), strict=False)

    numbered = Numbered(Indices(3), 2, first=5, collate_fn=identity)
    assert list(numbered) == [(5, [0, 1]), (6, [2])]
    assert "first" in inspect.signature(Numbered.__init__).parameters


class Lies(IterableDataset):
    def __len__(self):
        return 2

    def __iter__(self):
        return iter(range(4))


def test_an_iterable_dataset_that_gives_more_than_its_length_is_warned_of(loader):
    lying = loader(Lies(), batch_size=None)
    assert len(lying) == 2
    with pytest.warns(UserWarning, match="Length of IterableDataset .* was reported to be 2"):
        assert list(lying) == [0, 1, 2, 3]


@pytest.mark.parametrize("wrong", [{"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}], ids=str)
def test_an_iterable_dataset_takes_no_sampler(loader, wrong):
    with pytest.raises(ValueError, match="IterableDataset"):
        loader(Lies(), **wrong)


class TellsSeeds(TwoPhase):
    def process(self, index, raw):
        return torch.initial_seed(), random.getstate()[1][1], int(np.random.get_state()[1][1])


def test_each_worker_has_its_seed_which_the_generator_decides(loader):
    def seeds(generator_seed):
        generator = torch.Generator().manual_seed(generator_seed)
        read = loader(TellsSeeds(4), batch_size=None, num_workers=2, generator=generator)
        return list(read)

    one = seeds(1)
    assert one == seeds(1)
    assert one != seeds(2)
    assert one[1][0] == one[0][0] + 1
    assert len({seed[2] for seed in one}) == 2


def test_worker_info_cannot_be_changed_and_is_gone_outside_of_workers(loader):
    def check(worker_id):
        info = get_worker_info()
        assert (info.id, info.num_workers) == (worker_id, 2)
        with pytest.raises((RuntimeError, AttributeError)):
            info.id = 7

    assert len(list(loader(WorkerInfoDataset(4), batch_size=None, num_workers=2, worker_init_fn=check))) == 4
    assert get_worker_info() is None


@workers_0_and_2
def test_all_batches_of_a_tensor_dataset_add_up_to_its_tensors(loader, workers):
    seed_everything()
    data, labels = torch.randn(50, 2, 3), torch.arange(50)
    found = list(loader(TensorDataset(data, labels), batch_size=7, num_workers=workers))
    assert torch.equal(torch.cat([batch for batch, _ in found]), data)
    assert torch.equal(torch.cat([batch for _, batch in found]), labels)


@pytest.mark.parametrize("factor", [1, 3])
def test_persistent_workers_live_on_after_an_early_break_and_none_of_its_batches_comes_again(loader, factor):
    again = loader(TwoPhase(12), batch_size=2, num_workers=2, persistent_workers=True, prefetch_factor=factor)
    iterator = iter(again)
    next(iterator)
    workers = [worker.pid for worker in iterator._workers]
    assert indices(again) == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11]]
    assert [worker.pid for worker in again._iterator._workers] == workers
