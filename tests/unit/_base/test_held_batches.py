"""Which batches a worker that lives on may only fetch, and when each is set free."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from concurrent_dataloader._base.held_batches import Held, HeldBatches


def test_what_torch_would_have_sent_is_not_held():
    held = HeldBatches(2)
    assert [held.wrap(number, "request", received=0) for number in (0, 1)] == ["request", "request"]
    assert held.wrap(5, "request", received=4) == "request"


class Told:
    """The queue of the only worker."""

    def __init__(self):
        self.numbers, self.interrupt = [], False

    def put(self, number):
        if self.interrupt:
            raise KeyboardInterrupt
        self.numbers.append(number)


def free(held, received, told, tasks=range(100)):
    told.numbers = []
    held.free(received, dict.fromkeys(tasks, (0,)), [told])
    return told.numbers


def test_what_goes_beyond_is_held_and_set_free_when_torch_would_have_sent_it():
    held, told = HeldBatches(2), Told()
    assert [held.wrap(number, number, received=0) for number in range(5)] == [0, 1, Held(2), Held(3), Held(4)]
    assert [free(held, received, told) for received in range(5)] == [[], [2], [3], [4], []]


def test_several_are_set_free_at_once_where_several_were_passed_over_but_not_those_of_a_dead_worker():
    held = HeldBatches(1)
    for number in range(4):
        held.wrap(number, number, received=0)
    assert free(held, 3, Told(), tasks=(1, 3)) == [1, 3]


def test_none_goes_before_an_older_one_that_is_still_held():
    held, told = HeldBatches(1), Told()
    assert held.wrap(1, 1, received=0) == Held(1)
    assert held.wrap(2, 2, received=2) == Held(2)
    assert free(held, 2, told) == [1, 2]
    assert held.wrap(3, 3, received=3) == 3


def test_a_number_is_told_again_where_the_first_time_was_interrupted():
    held, told = HeldBatches(1), Told()
    held.wrap(1, 1, received=0)
    told.interrupt = True
    with pytest.raises(KeyboardInterrupt):
        free(held, 1, told)
    told.interrupt = False
    assert free(held, 1, told) == [1]
    assert free(held, 1, told) == []


def test_a_new_epoch_knows_nothing_of_what_was_held_before():
    held = HeldBatches(1)
    held.wrap(1, "request", received=0)
    assert held.wrap(0, "request", received=0) == "request"
    assert free(held, 9, Told()) == []


@pytest.mark.parametrize("number", [0, 1000])
def test_without_a_bound_nothing_is_held(number):
    assert HeldBatches(None).wrap(number, "request", received=0) == "request"
    assert free(HeldBatches(None), 10, Told()) == []


@pytest.mark.parametrize(
    ("persistent", "in_order", "workers", "holds"),
    [(True, True, 3, True), (False, True, 3, False), (True, False, 3, False), (True, False, 1, True)],
)
def test_only_persistent_workers_whose_batches_come_in_order_hold_any(persistent, in_order, workers, holds):
    loader = SimpleNamespace(
        persistent_workers=persistent, in_order=in_order, prefetch_factor=6 // workers, num_workers=workers
    )
    held = HeldBatches.of(loader)
    assert held.wrap(5, "request", received=0) == "request"
    assert (held.wrap(6, "request", received=0) == Held("request")) is holds
