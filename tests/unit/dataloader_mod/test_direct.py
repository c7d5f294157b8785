"""When the reading thread fetches by itself."""

from __future__ import annotations

import pytest

from concurrent_dataloader.dataloader_mod.direct import FIRST_TRY, DirectReading

FAST_S, FAR_S = 20e-6, 0.03


def fetch_by_pool(direct, number, median_s=0.001):
    for _ in range(number):
        direct.pool_fetched(median_s)
    if direct.is_due:
        direct.begin()
    return direct.active


def fetches_until_stopped(direct, latency_s, most):
    for number in range(1, most + 1):
        if not direct.fetched(latency_s):
            direct.stop()
            return number
    return None


def test_it_is_tried_when_the_pool_has_been_fast_for_a_while():
    direct = DirectReading(possible=True)
    assert not fetch_by_pool(direct, FIRST_TRY - 1)
    assert fetch_by_pool(direct, 1)


@pytest.mark.parametrize(("possible", "median_s"), [(False, 0.0), (True, FAR_S)])
def test_it_is_not_tried_for_what_is_far_or_belongs_to_the_pool(possible, median_s):
    assert not fetch_by_pool(DirectReading(possible=possible), 10 * FIRST_TRY, median_s)


def test_it_lasts_while_fetches_are_fast_and_bears_a_moment_without_the_processor():
    direct = DirectReading(possible=True)
    fetch_by_pool(direct, FIRST_TRY)
    assert fetches_until_stopped(direct, FAST_S, 1000) is None
    assert direct.fetched(0.004)
    assert fetches_until_stopped(direct, FAST_S, 1000) is None


@pytest.mark.parametrize(("latency_s", "soon"), [(FAR_S, 1), (0.001, 12), (0.0004, 40)])
def test_it_ends_the_sooner_the_slower_the_fetches_are(latency_s, soon):
    direct = DirectReading(possible=True)
    fetch_by_pool(direct, FIRST_TRY)
    assert fetches_until_stopped(direct, latency_s, 1000) <= soon


def test_each_try_in_vain_makes_the_next_one_twice_as_rare():
    direct = DirectReading(possible=True)
    for times in (1, 2, 4, 8):
        assert not fetch_by_pool(direct, times * FIRST_TRY - 1)
        assert fetch_by_pool(direct, 1)
        fetches_until_stopped(direct, FAR_S, 1)


def test_after_a_long_success_the_next_try_is_near_again():
    direct = DirectReading(possible=True)
    for times in (1, 2, 4):
        fetch_by_pool(direct, times * FIRST_TRY)
        fetches_until_stopped(direct, FAR_S, 1)
    fetch_by_pool(direct, 8 * FIRST_TRY)
    fetches_until_stopped(direct, FAST_S, 10 * FIRST_TRY)
    assert fetches_until_stopped(direct, FAR_S, 1) == 1
    assert fetch_by_pool(direct, FIRST_TRY)
