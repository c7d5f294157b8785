from __future__ import annotations

import random

import pytest
import torch
from torch.utils.data import BatchSampler, RandomSampler, SequentialSampler

from concurrent_dataloader.dataloader_mod.look_ahead import LookAhead


@pytest.mark.parametrize(
    "sampler",
    [RandomSampler(range(9)), SequentialSampler(range(9)), BatchSampler(RandomSampler(range(9)), 2, False), [3, 1]],
    ids=lambda sampler: type(sampler).__name__,
)
def test_torchs_samplers_are_read_ahead_from_the_start(sampler):
    assert LookAhead(sampler, iter(sampler).__next__, 4).ahead == 4


class OwnSampler(RandomSampler):
    pass


def test_a_sampler_of_the_users_is_read_ahead_once_its_second_index_moved_no_generator():
    look = LookAhead(BatchSampler(OwnSampler(range(9)), 2, False), iter([1, 2, 3]).__next__, 4)
    aheads = [look.ahead]
    for index in (1, 2, 3):
        assert look.draw() == index
        aheads.append(look.ahead)
    assert aheads == [0, 0, 4, 4]


@pytest.mark.parametrize("draw", [random.random, lambda: torch.rand(())], ids=["random", "torch"])
def test_a_sampler_that_moves_a_generator_is_never_read_ahead(draw):
    look = LookAhead(OwnSampler(range(9)), draw, 4)
    for _ in range(4):
        look.draw()
        assert look.ahead == 0


def test_the_end_of_the_sampler_passes_through():
    look = LookAhead(OwnSampler(range(9)), iter([1]).__next__, 4)
    look.draw()
    with pytest.raises(StopIteration):
        look.draw()


@pytest.mark.parametrize("replacement", [False, True])
def test_a_random_sampler_with_a_generator_is_read_ahead_from_its_second_request(replacement):
    sampler = RandomSampler(range(9), replacement, 40, generator=torch.Generator())
    look = LookAhead(BatchSampler(sampler, 2, False), iter(BatchSampler(sampler, 2, False)).__next__, 4)
    aheads = [look.ahead]
    for _ in range(3):
        look.draw()
        aheads.append(look.ahead)
    assert aheads == [0, 0, 4, 4]


def test_a_random_sampler_is_no_longer_read_ahead_once_someone_else_draws_from_its_generator():
    generator = torch.Generator()
    look = LookAhead(RandomSampler(range(9), generator=generator), lambda: torch.rand((), generator=generator), 4)
    look.draw()
    look.draw()
    assert look.ahead == 4
    torch.rand((), generator=generator)
    look.draw()
    assert look.ahead == 0
    look.draw()
    assert look.ahead == 0
