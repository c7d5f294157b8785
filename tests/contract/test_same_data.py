"""The first promise: torch's data, bit by bit, for every kind of dataset, implementation and number of workers."""

from __future__ import annotations

import time

import pytest
import torch
from contract_datasets import Async, Batched, Plain, TwoPhase, TwoPhaseWithoutAsync, assert_same, seed_everything
from torch.utils.data import ConcatDataset, Subset, random_split

from concurrent_dataloader import DataLoader

IMPLS = ("threaded", "asyncio", "vanilla")
TWO_PHASE = {
    "two-phase": TwoPhase,
    "two-phase without afetch": TwoPhaseWithoutAsync,
    "subset": lambda: Subset(TwoPhase(40), list(range(30, 3, -1))),
    "random split": lambda: random_split(TwoPhase(40), [23, 17], torch.Generator().manual_seed(1))[0],
    "concatenation": lambda: ConcatDataset([TwoPhase(9), Subset(TwoPhase(20), [5, 3, 19, 5]), TwoPhase(10)]),
}
OTHERS = {"plain": Plain, "__getitems__": Batched, "subset of plain": lambda: Subset(Plain(), range(20))}


def epochs(loader, count=2):
    seed_everything()
    return [list(loader) for _ in range(count)]


def compare(dataset, *, ours=None, torchs=None, reference=None, **common):
    """Reads two epochs through both loaders, from the same seeds, and compares them."""
    expected = epochs(torch.utils.data.DataLoader(reference or dataset, **common, **(torchs or {})))
    assert_same(epochs(DataLoader(dataset, **common, **(ours or {}))), expected)
    assert sum(len(batches) for batches in expected) > 0


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("kind", TWO_PHASE)
def test_two_phase_datasets_give_torchs_batches_random_augmentations_included(kind, impl, workers):
    compare(TWO_PHASE[kind](), batch_size=4, shuffle=True, num_workers=workers, ours={"fetch_impl": impl})


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("kind", OTHERS)
def test_other_datasets_give_torchs_batches_with_many_fetch_workers(kind, impl, workers):
    options = {"fetch_impl": impl, "num_fetch_workers": 8}
    compare(OTHERS[kind](), batch_size=4, shuffle=True, num_workers=workers, ours=options)


@pytest.mark.parametrize("fetch_workers", [None, 1, 8, "auto"])
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_an_async_getitem_gives_what_its_synchronous_twin_gives_torch(workers, fetch_workers):
    options = {"fetch_impl": "asyncio", "num_fetch_workers": fetch_workers}
    compare(Async(), reference=Plain(), batch_size=4, shuffle=True, num_workers=workers, ours=options)


def test_a_subset_of_an_async_dataset_is_async_too():
    compare(
        Subset(Async(), [4, 2, 9]), reference=Subset(Plain(), [4, 2, 9]), batch_size=2, ours={"fetch_impl": "asyncio"}
    )


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("context", ["spawn", "forkserver"])
def test_spawned_workers_give_torchs_batches_too(context, impl):
    compare(
        TwoPhase(),
        batch_size=4,
        shuffle=True,
        num_workers=2 if context == "spawn" else 1,
        multiprocessing_context=context,
        persistent_workers=True,
        pin_memory=True,
        ours={"fetch_impl": impl},
    )


@pytest.mark.parametrize("impl", ["threaded", "asyncio"])
@pytest.mark.parametrize("context", ["spawn", "forkserver"])
@pytest.mark.parametrize(("ours", "reference"), [(Plain, Plain), (Batched, Batched), (Async, Plain)])
def test_spawned_workers_read_datasets_of_one_phase_too(ours, reference, context, impl):
    if (ours, impl) == (Async, "threaded"):
        pytest.skip("an async dataset is refused under threads")
    loader = DataLoader(ours(), 4, num_workers=1, multiprocessing_context=context, num_fetch_workers=8, fetch_impl=impl)
    assert_same(list(loader), list(torch.utils.data.DataLoader(reference(), batch_size=4)))


@pytest.mark.parametrize("impl", ["threaded", "asyncio"])
@pytest.mark.parametrize("workers", [1, 2])
def test_persistent_workers_go_on_with_their_generators_as_torchs_do(workers, impl):
    compare(
        TwoPhase(),
        batch_size=4,
        shuffle=True,
        num_workers=workers,
        persistent_workers=True,
        ours={"fetch_impl": impl},
    )


@pytest.mark.parametrize("pool", [1, 2, 3, 7])
@pytest.mark.parametrize("workers", [0, 2])
def test_no_size_of_the_batch_pool_changes_the_data(workers, pool):
    compare(TwoPhase(), batch_size=3, shuffle=True, num_workers=workers, ours={"batch_pool": pool})


@pytest.mark.parametrize("fetch_workers", [1, 2, 64, "auto"])
@pytest.mark.parametrize("workers", [0, 2])
def test_no_number_of_fetch_workers_changes_the_data(workers, fetch_workers):
    compare(TwoPhase(), batch_size=3, shuffle=True, num_workers=workers, ours={"num_fetch_workers": fetch_workers})


@pytest.mark.parametrize("workers", [0, 2])
def test_a_callers_own_draws_between_batches_change_nothing(workers):
    def read(cls):
        seed_everything()
        loader = cls(TwoPhase(), batch_size=4, shuffle=True, num_workers=workers)
        return [(batch, torch.rand(())) for batch in loader]

    assert_same(read(DataLoader), read(torch.utils.data.DataLoader))


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_the_next_epoch_after_an_early_break_is_torchs(workers):
    def read(cls):
        seed_everything()
        loader = cls(TwoPhase(), batch_size=2, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
        first = [batch for batch, _ in zip(loader, range(3), strict=False)]
        return first, list(loader)

    assert_same(read(DataLoader), read(torch.utils.data.DataLoader))


class SlowToFetch(TwoPhase):
    """The caller and the workers wait for the store, so more batches are asked for; it counts what it has processed."""

    processed = 0

    def fetch(self, index):
        time.sleep(0.01)  # no event to wait for: the waiting is what is to be measured by the loader
        return super().fetch(index)

    def process(self, index, raw):
        self.processed += 1
        return {**super().process(index, raw), "processed": self.processed}


@pytest.mark.parametrize("options", [{}, {"batch_pool": 9}], ids=["grows", "given"])
@pytest.mark.parametrize("workers", [1, 2])
def test_after_an_early_break_persistent_workers_have_processed_what_torchs_have_however_far_they_fetched(
    workers, options
):
    def read(cls, **options):
        seed_everything()
        dataset = SlowToFetch(60)
        loader = cls(dataset, batch_size=1, shuffle=True, num_workers=workers, persistent_workers=True, **options)
        first = [batch for batch, _ in zip(loader, range(20), strict=False)]
        return loader, (first, list(loader))

    loader, ours = read(DataLoader, **options)
    assert loader.stats().batch_pool > loader.prefetch_factor
    assert_same(ours, read(torch.utils.data.DataLoader)[1])


@pytest.mark.parametrize("workers", [0, 2])
def test_two_live_iterators_do_not_disturb_each_other(workers):
    def read(cls):
        seed_everything()
        loader = cls(TwoPhase(), batch_size=3, shuffle=True, num_workers=workers)
        return list(zip(loader, loader, strict=True))

    assert_same(read(DataLoader), read(torch.utils.data.DataLoader))


class DrawsAtEachIndex(torch.utils.data.Sampler):
    """Draws from the generator that `process` draws from, too, and at each index."""

    def __iter__(self):
        for _ in range(12):
            yield int(torch.randint(23, ()))

    def __len__(self):
        return 12


class DrawsAtTheStart(DrawsAtEachIndex):
    def __iter__(self):
        yield from torch.randint(23, (12,)).tolist()


@pytest.mark.parametrize("batch_size", [3, None])
@pytest.mark.parametrize("sampler", [DrawsAtEachIndex, DrawsAtTheStart])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_sampler_that_shares_its_generator_with_the_dataset_gives_torchs_batches(workers, sampler, batch_size):
    compare(TwoPhase(), batch_size=batch_size, sampler=sampler(), num_workers=workers, ours={"batch_pool": 4})
