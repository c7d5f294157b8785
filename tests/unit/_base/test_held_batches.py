"""Which batches a worker that lives on may only fetch, and when each is set free."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from concurrent_dataloader._base.held_batches import Held, HeldBatches


def test_what_torch_would_have_sent_is_not_held():
    held = HeldBatches(2)
    assert [held.wrap(number, "request", received=0) for number in (0, 1)] == ["request", "request"]
    assert held.wrap(5, "request", received=4) == "request"


def test_what_goes_beyond_is_held_and_set_free_when_torch_would_have_sent_it():
    held = HeldBatches(2)
    assert [held.wrap(number, number, received=0) for number in range(5)] == [0, 1, Held(2), Held(3), Held(4)]
    assert [list(held.freed(received)) for received in range(5)] == [[], [2], [3], [4], []]


def test_several_are_set_free_at_once_where_several_were_passed_over():
    held = HeldBatches(1)
    for number in range(4):
        held.wrap(number, number, received=0)
    assert list(held.freed(3)) == [1, 2, 3]


def test_a_number_comes_again_where_the_last_use_of_it_was_broken_off():
    held = HeldBatches(1)
    held.wrap(1, 1, received=0)
    next(held.freed(1))  # a Ctrl-C ends the loop here
    assert list(held.freed(1)) == [1]
    assert list(held.freed(1)) == []


def test_a_new_epoch_knows_nothing_of_what_was_held_before():
    held = HeldBatches(1)
    held.wrap(1, "request", received=0)
    held.clear()
    assert list(held.freed(9)) == []


@pytest.mark.parametrize("number", [0, 1000])
def test_without_a_bound_nothing_is_held(number):
    assert HeldBatches(None).wrap(number, "request", received=0) == "request"
    assert list(HeldBatches(None).freed(10)) == []


@pytest.mark.parametrize(
    ("persistent", "in_order", "holds"), [(True, True, True), (False, True, False), (True, False, False)]
)
def test_only_persistent_workers_whose_batches_come_in_order_hold_any(persistent, in_order, holds):
    loader = SimpleNamespace(persistent_workers=persistent, in_order=in_order, prefetch_factor=2, num_workers=3)
    held = HeldBatches.of(loader)
    assert held.wrap(5, "request", received=0) == "request"
    assert (held.wrap(6, "request", received=0) == Held("request")) is holds
