from __future__ import annotations

import asyncio

import numpy as np
import pytest
from torch.utils.data import ConcatDataset, Dataset, Subset

from concurrent_dataloader._base.two_phase import optional_method, phases_of


class TwoPhase(Dataset):
    def __init__(self, size=5, base=0):
        self.size, self.base = size, base

    def __len__(self):
        return self.size

    def fetch(self, index):
        return self.base + int(index)

    def process(self, index, raw):
        return ("sample", raw)

    def __getitem__(self, index):
        return self.process(index, self.fetch(index))


class WithAll(TwoPhase):
    told = 0

    async def afetch(self, index):
        return self.fetch(index)

    def describe(self, index):
        return f"key-{self.base + int(index)}"

    def set_fetch_concurrency(self, requests):
        self.told = requests

    async def aclose(self):
        self.told = -1


class OwnItem(TwoPhase):
    def __getitem__(self, index):
        return "other"


class OwnItems(TwoPhase):
    def __getitems__(self, indices):
        return ["other" for _ in indices]


class OwnSubset(Subset):
    def __getitem__(self, index):
        return "other"

    def __getitems__(self, indices):
        return ["other" for _ in indices]


class Delegates(Dataset):
    def __init__(self, dataset):
        self.dataset = dataset

    def __getitem__(self, index):
        return "augmented", self.dataset[index]

    def __getattr__(self, name):
        return getattr(self.dataset, name)


class OtherMeaning(Dataset):
    def fetch(self):
        """Downloads the whole dataset."""

    def process(self):
        """Unpacks it."""

    def __getitem__(self, index):
        return index


class OwnProcess(OwnItem):
    def fetch(self, index):
        return index

    def process(self, index, raw):
        return "own"

    def __getitem__(self, index):
        return "own"


@pytest.mark.parametrize(
    "dataset",
    [
        OwnItem(),
        OwnItems(),
        OwnSubset(TwoPhase(), [0]),
        Delegates(TwoPhase()),
        OtherMeaning(),
        Subset(OwnItem(), [0]),
        ConcatDataset([TwoPhase(), OwnItem()]),
        [1, 2],
        {"a": 1},
        range(3),
    ],
    ids=lambda dataset: type(dataset).__name__,
)
def test_a_dataset_whose_own_items_are_the_truth_is_not_two_phase(dataset):
    assert phases_of(dataset) is None


@pytest.mark.parametrize("dataset", [TwoPhase(), WithAll(), OwnProcess()], ids=lambda each: type(each).__name__)
def test_a_dataset_that_defines_its_phases_at_least_as_deep_is_its_own_view(dataset):
    assert phases_of(dataset) is dataset


WRAPPED = {
    "subset": Subset(TwoPhase(9), [4, 2, 0]),
    "subset of a subset": Subset(Subset(TwoPhase(9), [4, 2, 0]), [2, -3, 0]),
    "subset by array": Subset(TwoPhase(9), np.array([4, 2, 0])),
    "concatenation": ConcatDataset([TwoPhase(1), TwoPhase(2, base=100)]),
    "subset of a concatenation": Subset(ConcatDataset([TwoPhase(1), TwoPhase(2, base=100)]), [2, 0, 1]),
}


@pytest.mark.parametrize("index", [0, 2, -1, -3, np.int64(1)])
@pytest.mark.parametrize("wrapped", WRAPPED.values(), ids=WRAPPED)
def test_the_view_on_a_wrapped_dataset_gives_what_its_items_give(wrapped, index):
    phases = phases_of(wrapped)
    assert phases.process(index, phases.fetch(index)) == wrapped[index]


@pytest.mark.parametrize("index", [3, -4])
@pytest.mark.parametrize("wrapped", [WRAPPED["subset"], WRAPPED["concatenation"]], ids=["subset", "concatenation"])
def test_an_index_out_of_range_fails_as_it_does_without_the_view(wrapped, index):
    with pytest.raises((IndexError, ValueError)) as without:
        wrapped[index]
    with pytest.raises(without.type):
        phases_of(wrapped).fetch(index)


def test_the_optional_methods_of_a_wrapped_dataset_are_those_of_what_lies_below():
    below = [WithAll(2), WithAll(3, base=100)]
    phases = phases_of(Subset(ConcatDataset(below), [3, 0]))
    assert optional_method(phases, "describe")(0) == "key-101"
    assert asyncio.run(optional_method(phases, "afetch")(0)) == 101
    optional_method(phases, "set_fetch_concurrency")(7)
    assert [dataset.told for dataset in below] == [7, 7]
    asyncio.run(optional_method(phases, "aclose")())
    assert [dataset.told for dataset in below] == [-1, -1]


def test_afetch_is_offered_only_where_every_part_has_it():
    assert optional_method(phases_of(ConcatDataset([WithAll(), TwoPhase()])), "afetch") is None
    assert optional_method(phases_of(ConcatDataset([TwoPhase()])), "describe")(0) == ""
