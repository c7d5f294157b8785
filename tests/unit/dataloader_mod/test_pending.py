from __future__ import annotations

import gc
import weakref

import pytest
from engine_parts import take

from concurrent_dataloader.dataloader_mod import pending
from concurrent_dataloader.dataloader_mod.pending import Fetch


def test_the_first_answer_wins_and_later_ones_are_dropped():
    fetch = Fetch(3)
    assert not fetch.is_claimed
    assert fetch.settle("first")
    assert fetch.is_claimed
    assert not fetch.settle("second")
    assert not fetch.settle(error=ValueError())
    assert take(fetch) == "first"


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_an_error_is_raised_as_the_very_object_that_it_was(error):
    fetch = Fetch(0)
    fetch.settle(error=error)
    with pytest.raises(type(error)) as caught:
        take(fetch)
    assert caught.value is error


class Value:
    pass


def test_what_was_taken_is_no_longer_held():
    fetch, value = Fetch(0), Value()
    watched = weakref.ref(value)
    fetch.settle(value)
    del value
    assert take(fetch) is watched()
    assert watched() is None


class Failure(Exception):
    """A built-in exception cannot be referenced weakly; this one can."""


def test_a_failed_fetch_makes_no_reference_cycle():
    def fail():
        fetch = Fetch(0)
        fetch.settle(error=Failure())
        try:
            take(fetch)
        except Failure as error:
            return weakref.ref(error)

    gc.collect()
    gc.disable()
    try:
        assert fail()() is None
    finally:
        gc.enable()


def test_a_wait_calls_its_hook_which_may_end_it(monkeypatch):
    monkeypatch.setattr(pending, "CHECK_INTERVAL_S", 0.001)
    calls = []

    def hook():
        calls.append(None)
        if len(calls) == 3:
            raise SystemExit

    with pytest.raises(SystemExit):
        Fetch(0).take(hook)
    assert len(calls) == 3
