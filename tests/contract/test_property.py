"""The first promise for whatever options come together: torch's data, over options that hypothesis chooses."""

from __future__ import annotations

import math

import pytest
import torch
from contract_datasets import Batched, Plain, TwoPhase, assert_same, seed_everything
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import BatchSampler, RandomSampler, SubsetRandomSampler, WeightedRandomSampler

from concurrent_dataloader import DataLoader

DATASETS = {"two-phase": TwoPhase, "plain": Plain, "batched": Batched}
SAMPLERS = {
    "sequential": lambda size: {},
    "shuffle": lambda size: {"shuffle": True},
    "shuffle with a generator": lambda size: {"shuffle": True, "generator": torch.Generator().manual_seed(1)},
    "replacement": lambda size: {"sampler": RandomSampler(range(size), True, 2 * size)},
    "weighted": lambda size: {"sampler": WeightedRandomSampler([1.0] * size, size)},
    "subset": lambda size: {"sampler": SubsetRandomSampler(range(0, size, 2))},
    "repeated": lambda size: {"sampler": [0, size - 1, 0, 0]},
    "ragged batches": lambda size: {"batch_sampler": [[0], list(range(size)), [], [size - 1, 0]]},
    "batches of a shuffle": lambda size: {"batch_sampler": BatchSampler(RandomSampler(range(size)), 3, True)},
}


def keep_list(samples):
    """A collate function that bears an empty batch."""
    return samples


@st.composite
def cases(draw, workers):
    size, kind = draw(st.integers(1, 19)), draw(st.sampled_from(sorted(SAMPLERS)))
    common = {"collate_fn": draw(st.sampled_from([None, keep_list])), "num_workers": workers}
    if kind == "ragged batches":
        common["collate_fn"] = keep_list
    elif kind != "batches of a shuffle":
        common["batch_size"] = draw(st.sampled_from([None, 1, 2, 3, 7, 50]))
        if common["batch_size"] is not None:
            common["drop_last"] = draw(st.booleans())
    if workers:
        common["prefetch_factor"] = draw(st.sampled_from([None, 1, 2, 3]))
    ours = {
        "num_fetch_workers": draw(st.sampled_from([None, 1, 2, 16])),
        "fetch_impl": draw(st.sampled_from(["threaded", "asyncio", "vanilla"])),
        "batch_pool": draw(st.sampled_from([None, 1, 2, 5])),
    }
    return DATASETS[draw(st.sampled_from(sorted(DATASETS)))](size), kind, common, ours


def read(loader):
    """Two epochs, the first broken off after two batches; every loader starts from the same seeds."""
    seed_everything()
    first = [batch for batch, _ in zip(loader, range(2), strict=False)]
    return first, list(loader), torch.rand(())


def check(case):
    dataset, kind, common, ours = case
    torchs = torch.utils.data.DataLoader(dataset, **common, **SAMPLERS[kind](len(dataset)))
    assert_same(read(DataLoader(dataset, **common, **ours, **SAMPLERS[kind](len(dataset)))), read(torchs))


quick = settings(
    deadline=None, database=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@quick
@given(cases(workers=0))
def test_in_process_any_options_give_torchs_batches_and_leave_the_generators_as_torch_does(case):
    check(case)


@pytest.mark.parametrize("workers", [1, 2])
@settings(quick, max_examples=8)
@given(data=st.data())
def test_with_workers_any_options_give_torchs_batches(workers, data):
    check(data.draw(cases(workers=workers)))


@settings(quick, max_examples=50)
@given(size=st.integers(0, 60), batch_size=st.integers(1, 70), drop_last=st.booleans())
def test_the_number_of_batches_is_the_quotient_rounded_as_drop_last_says(size, batch_size, drop_last):
    loader = DataLoader(TwoPhase(size), batch_size, drop_last=drop_last, collate_fn=len)
    expected = size // batch_size if drop_last else math.ceil(size / batch_size)
    assert len(loader) == len(list(loader)) == expected
