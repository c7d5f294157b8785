"""What a limit does at a refusal, step by step; test_concurrency.py has whole simulations."""

from __future__ import annotations

import pytest

from concurrent_dataloader.dataloader_mod.back_off import BackOff

RTT_S = 0.03


def _after(seconds, in_flight):
    """A store's refusals after so many seconds without any, at a goodput that needs so many in flight."""
    back_off = BackOff()
    for number in range(round(seconds * in_flight / RTT_S)):
        back_off.completed(number * RTT_S / in_flight)
    return back_off


def test_a_limit_falls_to_a_little_less_than_what_the_goodput_needed_and_by_half_at_the_most():
    assert _after(2, 16).refused(2.0, RTT_S, 20) == pytest.approx(0.9 * 16, abs=1)
    assert _after(2, 16).refused(2.0, RTT_S, 128) == 64
    assert _after(2, 16).refused(2.0, RTT_S, 15) < 15


def test_refusals_are_too_many_above_one_in_a_hundred_of_the_last_seconds_answers():
    back_off = _after(2, 16)  # 533 a second
    assert [back_off.is_too_many(2.0) for _ in range(6)] == [False] * 5 + [True]
    for number in range(533):
        back_off.completed(2.0 + number / 533)
    assert not back_off.is_too_many(3.1)


def test_after_a_fall_they_are_too_many_above_one_in_three_hundred():
    back_off = _after(2, 16)
    back_off.refused(2.0, RTT_S, 32)
    assert [back_off.is_too_many(2.0) for _ in range(2)] == [False, True]


def test_without_a_goodput_three_refusals_in_a_second_are_too_many():
    back_off = BackOff()
    assert [back_off.is_too_many(at_s) for at_s in (0.0, 0.5, 1.4, 1.5, 1.6)] == [False, False, False, True, True]


def test_the_refusals_that_follow_a_fall_belong_to_it_but_those_that_follow_a_step_up_do_not():
    back_off = _after(2, 16)
    low = back_off.refused(2.0, RTT_S, 20)
    assert back_off.refused(2.1, RTT_S, low) == low
    high = back_off.risen(2.7, low)
    assert high == low + 1
    assert back_off.refused(2.71, RTT_S, high) < high


def test_where_the_store_is_far_away_refusals_within_two_round_trips_belong_to_a_fall():
    back_off = _after(2, 16)
    low = back_off.refused(2.0, 1.0, 64)
    assert back_off.refused(3.9, 1.0, low) == low
    assert back_off.refused(4.1, 1.0, low) < low


def test_a_limit_rises_a_tenth_each_half_second_and_not_sooner_after_a_refusal():
    back_off = _after(2, 64)
    low = back_off.refused(2.0, RTT_S, 64)
    assert back_off.refused(2.15, RTT_S, low) == low
    assert back_off.risen(2.6, low) == low
    assert back_off.risen(2.7, low) == low + low // 10
    assert back_off.risen(2.8, low) == low


def test_what_was_not_refused_before_a_step_up_is_the_measure_where_the_goodput_is_that_of_smaller_limits():
    back_off = BackOff()
    assert back_off.refused(0.0, RTT_S, 64) == 32
    assert back_off.risen(0.6, 20) == 30
    assert back_off.refused(0.61, RTT_S, 30) == 18


def test_without_a_goodput_to_go_by_it_rises_by_half_up_to_the_next_refusal_but_those_of_the_start():
    back_off = BackOff()
    assert back_off.refused(0.0, 0.0, 8) == 4
    assert back_off.refused(0.5, 0.0, 4) == 2
    for _ in range(100):
        back_off.completed(0.6)
    assert back_off.risen(1.1, 8) == 12
    low = back_off.refused(1.2, RTT_S, 12)
    assert back_off.risen(1.8, 20) == 22
    assert low < 12


def test_five_seconds_without_a_refusal_and_it_is_forgiven():
    back_off = _after(2, 16)
    assert back_off.forgives(2.0)
    back_off.refused(2.0, RTT_S, 16)
    assert back_off.is_active
    assert not back_off.forgives(6.9)
    assert back_off.forgives(7.1)
    back_off.end()
    assert not back_off.is_active
