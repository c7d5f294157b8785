"""Workers that live on and fetch ahead: what goes wrong in between leaves no batch held for ever."""

from __future__ import annotations

import multiprocessing
import warnings

import pytest
from contract_datasets import PlainWithDraws, TwoPhase

from concurrent_dataloader import DataLoader
from concurrent_dataloader.dataloader_mod.random_state import RandomStateWarning


class FirstWaits(TwoPhase):
    """Sample 0 is not fetched before the event."""

    def __init__(self, event):
        super().__init__(12)
        self.event = event

    def fetch(self, index):
        if index == 0:
            self.event.wait(60)
        return super().fetch(index)


def test_out_of_order_a_slow_batch_of_one_persistent_worker_holds_back_none_of_the_other():
    event = multiprocessing.Event()
    loader = DataLoader(
        FirstWaits(event),
        batch_size=1,
        num_workers=2,
        persistent_workers=True,
        in_order=False,
        prefetch_factor=1,
        batch_pool=4,
        timeout=30,
    )
    batches = iter(loader)
    found = [next(batches)["index"].item() for _ in range(4)]
    assert found == [1, 3, 5, 7]
    event.set()
    found += [batch["index"].item() for batch in batches]
    assert sorted(found) == list(range(12))


def test_a_warning_that_is_an_error_leaves_no_later_batch_waiting_for_ever():
    loader = DataLoader(
        PlainWithDraws(12),
        batch_size=2,
        num_workers=1,
        persistent_workers=True,
        prefetch_factor=1,
        batch_pool=4,
        num_fetch_workers=4,
        timeout=30,
    )
    batches = iter(loader)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RandomStateWarning):
            list(batches)
    assert list(batches)[-1][0].tolist() == [10, 11]


class FailsOnRequest:
    def __init__(self):
        self.fails = False

    def __iter__(self):
        if self.fails:
            raise RuntimeError("not now")
        return iter([[index] for index in range(12)])


def test_where_a_new_iteration_fails_the_old_one_goes_on():
    sampler = FailsOnRequest()
    loader = DataLoader(
        TwoPhase(),
        batch_sampler=sampler,
        num_workers=1,
        persistent_workers=True,
        prefetch_factor=1,
        batch_pool=6,
        timeout=30,
    )
    batches = iter(loader)
    found = [next(batches)["index"].item()]
    sampler.fails = True
    with pytest.raises(RuntimeError, match="not now"):
        iter(loader)
    assert found + [batch["index"].item() for batch in batches] == list(range(12))
