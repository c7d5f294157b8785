"""When the dispatcher sends a slow fetch again, with a clock that the test moves."""

from __future__ import annotations

import pytest
from dispatch_parts import Clock, ignore, indices, make, make_worker, with_known_latency

from concurrent_dataloader.dataloader_mod.back_off import FORGIVEN_S
from concurrent_dataloader.dataloader_mod.pending import Fetch
from concurrent_dataloader.dataloader_mod.stats import StatsBoard


def test_a_slow_fetch_is_sent_again_once_and_the_first_answer_wins():
    dispatcher, clock, board = with_known_latency()
    (slow,) = dispatcher.add([Fetch("slow")])
    clock.now_s += 0.11
    assert dispatcher.due_hedges()[0] == []
    clock.now_s += 0.1
    (second,) = dispatcher.due_hedges()[0]
    assert second.fetch is slow.fetch
    assert second.is_hedge
    assert dispatcher.due_hedges()[0] == []
    assert dispatcher.running == 2
    dispatcher.end(second, "second")
    assert slow.fetch.take(ignore) == "second"
    dispatcher.end(slow, "first")
    assert dispatcher.running == 0
    found = board.read()[0]
    assert (found.hedges, found.hedges_won, found.fetches) == (1, 1, 101)


def test_a_second_attempt_that_is_slow_too_is_followed_by_a_third_and_no_more():
    dispatcher, clock, _ = with_known_latency()
    (first,) = dispatcher.add([Fetch("slow")])
    attempts = [first]
    for _ in range(4):
        clock.now_s += 0.11  # of the last attempt's age: not slow yet
        assert dispatcher.due_hedges()[0] == [] or len(attempts) == 1
        clock.now_s += 0.02
        attempts += dispatcher.due_hedges()[0]
    assert [run.is_hedge for run in attempts] == [False, True, True]
    assert dispatcher.running == 3
    dispatcher.end(attempts[2], "third")
    assert first.fetch.take(ignore) == "third"
    dispatcher.end(first, "late")
    dispatcher.end(attempts[1], error=TimeoutError())
    assert dispatcher.running == 0


def test_the_attempt_that_is_left_is_followed_by_another_when_it_is_slow():
    dispatcher, clock, _ = with_known_latency()
    (first,) = dispatcher.add([Fetch("slow")])
    clock.now_s += 0.2
    (second,) = dispatcher.due_hedges()[0]
    dispatcher.end(second, error=TimeoutError())
    clock.now_s += 0.2
    (third,) = dispatcher.due_hedges()[0]
    dispatcher.end(third, "body")
    assert first.fetch.take(ignore) == "body"
    dispatcher.end(first, "late")
    assert dispatcher.running == 0


@pytest.mark.parametrize("failing", ["first", "second"])
def test_of_two_attempts_the_one_that_succeeds_wins_over_the_one_that_fails(failing):
    dispatcher, clock, _ = with_known_latency()
    (first,) = dispatcher.add([Fetch("slow")])
    clock.now_s += 1
    (second,) = dispatcher.due_hedges()[0]
    bad, good = (first, second) if failing == "first" else (second, first)
    dispatcher.end(bad, error=TimeoutError())
    assert not first.fetch.is_claimed
    dispatcher.end(good, "body")
    assert first.fetch.take(ignore) == "body"
    assert dispatcher.running == 0


def test_where_both_attempts_fail_the_last_error_is_the_answer():
    dispatcher, clock, _ = with_known_latency()
    (first,) = dispatcher.add([Fetch("slow")])
    clock.now_s += 1
    (second,) = dispatcher.due_hedges()[0]
    dispatcher.end(first, error=TimeoutError("one"))
    dispatcher.end(second, error=ConnectionError("two"))
    with pytest.raises(ConnectionError, match="two"):
        first.fetch.take(ignore)
    assert dispatcher.running == 0


def test_further_attempts_are_at_most_a_twentieth_of_the_fetches():
    dispatcher, clock, board = with_known_latency()
    dispatcher.add(map(Fetch, range(40)))
    clock.now_s += 10
    assert len(dispatcher.due_hedges()[0]) == 5
    assert dispatcher.due_hedges()[0] == []
    assert board.read()[0].hedges == 5


def test_a_slow_first_attempt_takes_no_place_from_others_once_the_second_has_answered():
    dispatcher, clock, _ = make(1, hedging=True)
    for _ in range(100):
        (run,) = dispatcher.add([Fetch(-1)])
        clock.now_s += 0.1
        dispatcher.end(run, b"body")
    dispatcher.add([Fetch("slow"), Fetch("next")])
    clock.now_s += 1
    (second,) = dispatcher.due_hedges()[0]
    assert indices(dispatcher.end(second, b"body")) == ["next"]


def test_large_objects_are_never_sent_again():
    dispatcher, clock, _ = make(64, hedging=True)
    for _ in range(100):
        (run,) = dispatcher.add([Fetch(-1)])
        clock.now_s += 0.1
        dispatcher.end(run, bytes(2 << 20))
        dispatcher.taken(run.fetch)
    dispatcher.add([Fetch("slow")])
    clock.now_s += 10
    assert dispatcher.due_hedges()[0] == []


def test_a_body_larger_than_others_that_was_sent_again_is_paid_for_by_its_bytes():
    dispatcher, clock, _ = with_known_latency()  # bodies of 4 bytes
    (large,) = dispatcher.add([Fetch("large")])
    clock.now_s += 0.2
    (second,) = dispatcher.due_hedges()[0]
    dispatcher.end(large, bytes(64))
    dispatcher.end(second, bytes(64))
    hedged = []
    for _ in range(250):
        (run,) = dispatcher.add([Fetch("small")])
        clock.now_s += 0.2
        hedged.append(dispatcher.due_hedges()[0])
        clock.now_s -= 0.1  # so that the recent latencies stay what they were
        dispatcher.end(run, b"body")
    assert hedged.index(next(filter(None, hedged))) in range(150, 250)  # 64 bytes are 14 times the mean: 280 fetches


def test_a_fetch_that_hangs_is_sent_again_once_refusals_are_long_past_though_nothing_else_ends():
    dispatcher, clock, _ = with_known_latency()
    _, refused = dispatcher.add([Fetch("hanging"), Fetch("refused")])
    for _ in range(20):
        refused.retrying(throttled=True)
    clock.now_s += 0.99 * FORGIVEN_S
    assert dispatcher.due_hedges()[0] == []
    clock.now_s += 0.02 * FORGIVEN_S
    assert indices(dispatcher.due_hedges()[0]) == ["hanging"]  # the other one may be pausing, as the store has told it


def test_what_has_just_been_refused_to_another_worker_is_not_sent_again_by_this_one():
    clock, board = Clock(), StatsBoard(2, [0.0] * StatsBoard.size(2))
    refused, hanging = (make_worker(board, number, clock, hedging=True) for number in (0, 1))
    for _ in range(100):
        (run,) = hanging.add([Fetch(-1)])
        clock.now_s += 0.1
        hanging.end(run, b"body")
    hanging.add([Fetch("slow")])
    clock.now_s += 1
    (run,) = refused.add([Fetch(0)])
    for _ in range(3):
        run.retrying(throttled=True)
    assert hanging.due_hedges()[0] == []
