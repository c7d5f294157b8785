from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from concurrent_dataloader.dataloader_mod.random_state import RandomStateWatch


@pytest.mark.parametrize(
    "draw",
    [lambda: torch.rand(()), random.random, np.random.rand, lambda: np.random.seed(np.random.randint(9))],
    ids=["torch", "random", "numpy", "numpy seed"],
)
def test_a_draw_from_any_of_the_three_generators_is_seen(draw):
    watch = RandomStateWatch()
    watch.begin()
    draw()
    assert watch.end()


def test_draws_from_private_generators_and_before_the_wait_are_not_seen():
    watch = RandomStateWatch()
    torch.rand(())
    watch.begin()
    torch.rand((), generator=torch.Generator())
    random.Random(1).random()
    np.random.default_rng(1).random()
    assert not watch.end()


def test_a_second_begin_keeps_the_first_and_an_end_ends_it():
    watch = RandomStateWatch()
    watch.begin()
    random.random()
    watch.begin()
    assert watch.end()
    assert not watch.end()
