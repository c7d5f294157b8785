from __future__ import annotations

import pytest
from torch.utils.data import Subset

from concurrent_dataloader._base.options import FetchOptions
from concurrent_dataloader.dataloader_mod.plan import needs_engine, plan_for


class Plain:
    def __getitem__(self, index):
        return index


class Batched(Plain):
    def __getitems__(self, indices):
        return indices


class Async:
    async def __getitem__(self, index):
        return index


class TwoPhase(Plain):
    def fetch(self, index):
        return index

    def process(self, index, raw):
        return raw


class AsyncTwoPhase(TwoPhase):
    async def afetch(self, index):
        return index


def plan(dataset, *, auto_collation=True, **options):
    return plan_for(dataset, FetchOptions(**options), auto_collation=auto_collation)


def test_a_two_phase_dataset_fetches_in_the_pool_and_processes_outside():
    dataset = TwoPhase()
    assert plan(dataset).fetch == dataset.fetch
    assert plan(dataset).process == dataset.process


@pytest.mark.parametrize(
    ("dataset", "impl", "is_async"),
    [(AsyncTwoPhase(), "asyncio", True), (AsyncTwoPhase(), "threaded", False), (TwoPhase(), "asyncio", False)],
)
def test_an_event_loop_is_used_where_it_is_asked_for_and_the_dataset_can(dataset, impl, is_async):
    assert plan(dataset, fetch_impl=impl).is_async is is_async


def test_getitems_is_used_for_batches_alone_and_only_where_a_failure_fails_the_batch():
    assert plan(Batched()).per_batch
    assert not plan(Batched(), auto_collation=False).per_batch
    assert not plan(Batched(), on_error="skip").per_batch
    assert not plan(Plain()).per_batch


def test_a_subset_answers_batches_only_if_what_lies_below_does():
    assert plan(Subset(Batched(), [1])).per_batch
    assert not plan(Subset(Plain(), [1])).per_batch


def test_an_async_getitem_below_subsets_is_seen():
    assert plan(Subset(Subset(Async(), [0]), [0]), fetch_impl="asyncio").is_async


@pytest.mark.parametrize(
    ("dataset", "options", "needed"),
    [
        (Plain(), {}, False),
        (Plain(), {"num_fetch_workers": 1}, False),
        (Plain(), {"num_fetch_workers": 2}, True),
        (Plain(), {"num_fetch_workers": "auto"}, True),
        (Plain(), {"on_error": "skip"}, True),
        (TwoPhase(), {}, True),
        (TwoPhase(), {"fetch_impl": "vanilla"}, False),
        (Async(), {"fetch_impl": "asyncio"}, True),
    ],
)
def test_torchs_own_path_is_left_only_where_there_is_a_reason(dataset, options, needed):
    assert needs_engine(dataset, FetchOptions(**options)) is needed


def test_an_async_dataset_is_refused_under_threads():
    with pytest.raises(ValueError, match="Async.__getitem__ is async"):
        needs_engine(Async(), FetchOptions())
