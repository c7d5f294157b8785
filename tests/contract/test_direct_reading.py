"""The same promise where the reading thread fetches by itself: from the first fast fetch on, in these tests."""

from __future__ import annotations

import itertools
import threading
import traceback

import pytest
import torch
from contract_datasets import TwoPhase, assert_same, seed_everything
from torch.utils.data import ConcatDataset, Subset

from concurrent_dataloader import DataLoader
from concurrent_dataloader.dataloader_mod import direct

WAIT_S = 30
WORKERS = pytest.mark.parametrize("workers", [0, 1, 2])


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(direct, "FIRST_TRY", 1)


class Local(TwoPhase):
    fetches_locally = True


class Tells(Local):
    """Says with each sample whether the thread that makes it has fetched it too."""

    def fetch(self, index):
        return threading.get_ident()

    def process(self, index, raw):
        return raw == threading.get_ident()


def epochs(loader, count=2):
    seed_everything()
    return [list(loader) for _ in range(count)]


@WORKERS
def test_fast_fetches_are_done_by_the_thread_that_reads(workers):
    batches = list(DataLoader(Tells(400), batch_size=4, num_workers=workers))
    assert torch.cat(batches[-10:]).all()
    assert not batches[0].all()


def test_a_dataset_that_does_not_say_so_is_read_by_the_pool():
    dataset = Tells(400)
    dataset.fetches_locally = False
    assert not torch.cat(list(DataLoader(dataset, batch_size=4))).any()


@pytest.mark.parametrize("parts", [(True, True), (True, False)])
def test_a_concatenation_is_local_where_all_of_it_is(parts):
    datasets = [Tells(200), Tells(200)]
    for dataset, is_local in zip(datasets, parts, strict=True):
        dataset.fetches_locally = is_local
    loader = DataLoader(ConcatDataset(datasets), batch_size=4)
    assert torch.cat(list(loader)[-10:]).all() == all(parts)


@WORKERS
@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("make", [Local, lambda: Subset(Local(40), list(range(30, 3, -1)))])
def test_the_data_are_torchs(make, persistent, workers):
    if persistent and not workers:
        pytest.skip("there is nobody to persist")
    common = {"batch_size": 4, "shuffle": True, "num_workers": workers, "persistent_workers": persistent}
    assert_same(epochs(DataLoader(make(), **common)), epochs(torch.utils.data.DataLoader(make(), **common)))


@WORKERS
def test_so_are_single_samples_and_what_follows_an_early_break(workers):
    def read(cls):
        seed_everything()
        loader = cls(Local(), batch_size=None, shuffle=True, num_workers=workers)
        return list(itertools.islice(loader, 5)), list(zip(loader, loader, strict=True))

    assert_same(read(DataLoader), read(torch.utils.data.DataLoader))


@WORKERS
def test_a_batch_during_which_fetches_prove_to_be_fast_is_whole(workers):
    batches = list(DataLoader(Tells(600), batch_size=300, num_workers=workers, num_fetch_workers=1))
    assert [len(batch) for batch in batches] == [300, 300]


class FailsAt(Local):
    def fetch(self, index):
        if index == 17:
            raise KeyError("gone")
        return super().fetch(index)


@WORKERS
def test_a_failing_fetch_names_its_sample(workers):
    loader = DataLoader(FailsAt(40), batch_size=4, num_workers=workers)
    with pytest.raises(KeyError, match="gone") as caught:
        list(loader)
    assert "while loading sample 17" in "".join(traceback.format_exception(caught.value))


@WORKERS
def test_a_failing_fetch_may_be_left_out(workers):
    whole = list(torch.utils.data.DataLoader(TwoPhase(40), batch_size=None))
    loader = DataLoader(FailsAt(40), batch_size=4, collate_fn=list, num_workers=workers, on_error="skip")
    indices = [sample for batch in loader for sample in batch]
    assert len(indices) == len(whole) - 1
    assert loader.stats().total.failures == 1
    assert [each.index for each in loader.stats().failed_samples] == [17]


class Waits(Local):
    """One fetch ends when the one after it has begun, as in no dataset that should be, and in some that are."""

    def __init__(self, size):
        super().__init__(size)
        self.begun = threading.Event()

    def fetch(self, index):
        if index == 61:
            self.begun.set()
        return (index != 60 or self.begun.wait(WAIT_S)), threading.get_ident()

    def process(self, index, raw):
        return raw[0], raw[1] == threading.get_ident()


def test_a_fetch_that_waits_for_a_later_one_is_not_waited_for_in_vain():
    ended, direct_ones = map(torch.cat, zip(*DataLoader(Waits(80), batch_size=4, num_workers=0), strict=True))
    assert ended.all()
    assert direct_ones.any()
