"""When the reading thread fetches by itself."""

from __future__ import annotations

import pytest
import torch

from concurrent_dataloader import DataLoader
from concurrent_dataloader.dataloader_mod.direct import FIRST_TRY, DirectReading, size_of

FAST_S, FAR_S = 20e-6, 0.03


def fetch_by_pool(direct, number, median_s=0.001):
    for _ in range(number):
        direct.pool_fetched(median_s)
    if direct.is_due:
        direct.begin()
    return direct.active


def fetches_until_stopped(direct, latency_s, most):
    for number in range(1, most + 1):
        if not direct.fetched(latency_s):
            direct.stop()
            return number
    return None


def test_it_is_tried_when_the_pool_has_been_fast_for_a_while():
    direct = DirectReading(possible=True)
    assert not fetch_by_pool(direct, FIRST_TRY - 1)
    assert fetch_by_pool(direct, 1)


@pytest.mark.parametrize(("possible", "median_s"), [(False, 0.0), (True, FAR_S)])
def test_it_is_not_tried_for_what_is_far_or_belongs_to_the_pool(possible, median_s):
    assert not fetch_by_pool(DirectReading(possible=possible), 10 * FIRST_TRY, median_s)


def test_it_lasts_while_fetches_are_fast_and_bears_a_moment_without_the_processor():
    direct = DirectReading(possible=True)
    fetch_by_pool(direct, FIRST_TRY)
    assert fetches_until_stopped(direct, FAST_S, 1000) is None
    assert direct.fetched(0.004)
    assert fetches_until_stopped(direct, FAST_S, 1000) is None


@pytest.mark.parametrize(("latency_s", "soon"), [(FAR_S, 1), (0.001, 12), (0.0004, 40)])
def test_it_ends_the_sooner_the_slower_the_fetches_are(latency_s, soon):
    direct = DirectReading(possible=True)
    fetch_by_pool(direct, FIRST_TRY)
    assert fetches_until_stopped(direct, latency_s, 1000) <= soon


def test_each_try_in_vain_makes_the_next_one_twice_as_rare():
    direct = DirectReading(possible=True)
    for times in (1, 2, 4, 8):
        assert not fetch_by_pool(direct, times * FIRST_TRY - 1)
        assert fetch_by_pool(direct, 1)
        fetches_until_stopped(direct, FAR_S, 1)


def test_after_a_long_success_the_next_try_is_near_again():
    direct = DirectReading(possible=True)
    for times in (1, 2, 4):
        fetch_by_pool(direct, times * FIRST_TRY)
        fetches_until_stopped(direct, FAR_S, 1)
    fetch_by_pool(direct, 8 * FIRST_TRY)
    fetches_until_stopped(direct, FAST_S, 10 * FIRST_TRY)
    assert fetches_until_stopped(direct, FAR_S, 1) == 1
    assert fetch_by_pool(direct, FIRST_TRY)


class Odd:
    @property
    def nbytes(self):
        raise KeyError("nbytes")


class Gone:
    @property
    def __class__(self):  # as of a weakref.proxy
        raise ReferenceError("gone")


@pytest.mark.parametrize("value", [Odd(), Odd, torch.eye(3).to_sparse(), torch.ones(3).untyped_storage(), None])
def test_what_does_not_tell_its_size_has_none(value):
    assert size_of(value) == 0


def test_what_does_not_even_tell_its_class_has_no_size():
    assert size_of(Gone()) == 0


@pytest.mark.parametrize(("value", "size"), [(b"abc", 3), (memoryview(b"ab"), 2), (torch.ones(3), 12)])
def test_what_tells_its_size_has_that(value, size):
    assert size_of(value) == size


class Sparse(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return (torch.eye(2) * index).to_sparse()


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_gives_sparse_tensors(workers):
    loader = DataLoader(Sparse(), None, num_workers=workers, num_fetch_workers=2, timeout=10 * workers)
    assert [int(each.to_dense().sum()) for each in loader] == [0, 2, 4, 6]
