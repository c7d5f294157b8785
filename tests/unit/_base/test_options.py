from __future__ import annotations

import dataclasses
import pickle

import pytest

from concurrent_dataloader._base.errors import ConcurrentDataLoaderError, OptionError
from concurrent_dataloader._base.options import MAX_AUTO_FETCH_WORKERS, FetchOptions


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_fetch_workers": -1},
        {"num_fetch_workers": 1.0},
        {"num_fetch_workers": "8"},
        {"batch_pool": True},
        {"batch_pool": 1.5},
        {"fetch_impl": None},
        {"on_error": None},
        {"on_error": print, "fetch_impl": "vanilla"},
        {"max_error_rate": 1.5},
        {"max_error_rate": True},
        {"hedging": 1},
        {"stall_timeout": 0},
        {"stall_timeout": float("inf")},
        {"stall_timeout": float("nan")},
    ],
    ids=str,
)
def test_a_wrong_option_is_an_error_that_names_it(wrong):
    with pytest.raises(OptionError, match=next(iter(wrong))) as caught:
        FetchOptions(**wrong)
    assert isinstance(caught.value, ConcurrentDataLoaderError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("given", "two_phase", "workers"),
    [
        (None, True, MAX_AUTO_FETCH_WORKERS),
        (None, False, 1),
        ("auto", False, MAX_AUTO_FETCH_WORKERS),
        (5, True, 5),
        (5, False, 5),
    ],
)
def test_the_number_of_fetch_workers_depends_on_the_dataset_only_where_none_is_given(given, two_phase, workers):
    assert FetchOptions(given).fetch_workers(two_phase=two_phase) == workers


def test_options_are_frozen_and_survive_pickling():
    options = FetchOptions(3, "asyncio", 4, "skip")
    assert pickle.loads(pickle.dumps(options)) == options
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.batch_pool = 1
