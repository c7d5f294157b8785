"""What the dispatcher decides, with a clock that the test moves."""

from __future__ import annotations

import time

import pytest
from dispatch_parts import ignore, indices, make

from concurrent_dataloader.dataloader_mod import stats
from concurrent_dataloader.dataloader_mod.direct import FIRST_TRY, STUCK_S
from concurrent_dataloader.dataloader_mod.pending import Fetch
from concurrent_dataloader.dataloader_mod.stats import Counters


def test_the_oldest_start_first_and_no_more_than_the_limit():
    dispatcher, _, _ = make(2)
    first = dispatcher.add(map(Fetch, range(4)))
    assert indices(first) == [0, 1]
    assert indices(dispatcher.add([Fetch(4)])) == []
    assert indices(dispatcher.end(first[1], "b")) == [2]
    assert first[1].fetch.take(ignore) == "b"
    assert indices(dispatcher.in_flight()) == [0, 2]


def test_what_was_given_up_before_it_began_is_passed_over():
    dispatcher, _, _ = make(1)
    fetches = [Fetch(index) for index in range(3)]
    (run,) = dispatcher.add(fetches)
    fetches[1].settle(error=ValueError())
    assert indices(dispatcher.end(run, "a")) == [2]


def test_an_error_is_the_answer_and_counts_as_a_failure():
    dispatcher, _, board = make(1)
    (run,) = dispatcher.add([Fetch(0)])
    dispatcher.end(run, error=KeyError("gone"))
    with pytest.raises(KeyError):
        run.fetch.take(ignore)
    assert board.read()[0].failures == 1


def test_large_bodies_that_nobody_has_taken_hold_back_the_next_but_one_is_always_in_flight():
    dispatcher, _, _ = make(8, max_bytes=10 << 20)
    runs = dispatcher.add(map(Fetch, range(8)))
    for run in runs:
        dispatcher.end(run, bytes(4 << 20))
    (one,) = dispatcher.add([Fetch("next"), Fetch("after")])
    assert dispatcher.end(one, bytes(4 << 20)) != []  # nothing else is in flight
    assert indices(dispatcher.add([Fetch("last")])) == []
    freed = [started for run in [*runs, one] for started in dispatcher.taken(run.fetch)]
    assert indices(freed) == ["last"]
    assert dispatcher.taken(runs[0].fetch) == []


def test_a_body_that_was_given_up_holds_nothing_back():
    dispatcher, _, _ = make(8, max_bytes=10 << 20)
    (run,) = dispatcher.add([Fetch(0)])
    run.fetch.settle(error=ValueError())
    dispatcher.end(run, bytes(64 << 20))
    assert dispatcher._held_bytes == 0


def test_the_counters_of_a_lone_engine_are_its_own():
    counters = Counters.private()
    counters.add(stats.FETCHES, 3)
    counters.throttled_s = 5.0
    assert counters.throttled_s == 5.0


def make_direct():
    """Returns a dispatcher whose pool has just been so fast that the reading thread is to fetch."""
    dispatcher, clock, board = make(4, direct=True)
    (run,) = dispatcher.add([Fetch(-1)])
    for _ in range(FIRST_TRY - 1):
        dispatcher.end(run, b"")
        (run,) = dispatcher.add([Fetch(-1)])
    dispatcher.end(run, b"")
    dispatcher.take_over([])
    return dispatcher, clock, board


def carry_out(direct, fetch, clock, seconds=0.0):
    def call(index):
        clock.now_s += seconds
        return bytes(index)

    assert direct.take_next()
    return direct.carry_out(call, fetch)


def test_what_waits_for_the_reading_thread_is_started_by_nobody_else():
    dispatcher, clock, board = make_direct()
    fetches = [Fetch(index) for index in range(6)]
    assert dispatcher.add(fetches) == []
    direct = dispatcher.take_over(fetches[:3])
    assert [carry_out(direct, fetch, clock)[0] for fetch in fetches[:3]] == [b"", b"\0", b"\0\0"]
    assert dispatcher.end_direct(direct) == []
    total = board.read()[0]
    assert (total.fetches, total.fetched_bytes, total.failures) == (FIRST_TRY + 3, 3, 0)


def test_the_reading_thread_takes_over_what_the_pool_has_not_begun():
    dispatcher, _, _ = make(1, direct=True)
    fetches = [Fetch(index) for index in range(FIRST_TRY + 2)]
    runs = dispatcher.add(fetches)
    for _ in range(FIRST_TRY - 1):
        runs = dispatcher.end(runs[0], b"")
    assert dispatcher.take_over(fetches) is None
    (at_work,) = dispatcher.end(runs[0], b"")
    dispatcher.take_over(fetches)
    assert dispatcher.end(at_work, b"") == []
    assert [fetch.is_direct for fetch in fetches] == [False] * (FIRST_TRY + 1) + [True]


def test_a_batch_that_is_given_up_is_nobodys_work():
    dispatcher, _, _ = make_direct()
    given_up, wanted = [Fetch(0), Fetch(1)], [Fetch(2)]
    dispatcher.add(given_up + wanted)
    for fetch in given_up:
        fetch.settle(error=ValueError())
    assert dispatcher.take_over(given_up) is None
    dispatcher.take_over(wanted)
    assert wanted[0].is_direct


def test_the_pool_gets_back_what_the_reading_thread_has_not_begun_oldest_first():
    dispatcher, clock, _ = make_direct()
    fetches = [Fetch(index) for index in range(6)]
    dispatcher.add(fetches)
    direct = dispatcher.take_over(fetches[:4])
    carry_out(direct, fetches[0], clock)
    assert indices(dispatcher.give_back(direct)) == [1, 2, 3, 4]
    assert not any(fetch.is_direct for fetch in fetches[1:])


def test_a_reading_thread_that_is_stuck_is_rescued_by_the_pool():
    dispatcher, clock, board = make_direct()
    fetches = [Fetch(index) for index in range(3)]
    dispatcher.add(fetches)
    direct = dispatcher.take_over(fetches)
    assert dispatcher.rescue() == []
    started = []

    def call(index):
        assert indices(dispatcher.in_flight()) == [0]
        clock.now_s = time.monotonic() + STUCK_S
        started.extend(dispatcher.rescue())

    assert direct.take_next()
    direct.carry_out(call, fetches[0])
    assert indices(started) == [1, 2]
    assert dispatcher.give_back(direct) == []  # the pool has it all
    assert not direct.take_next()
    for run in started:
        dispatcher.end(run, b"")
    assert dispatcher.running == 0
    assert board.read()[0].fetches == FIRST_TRY + 2


def test_a_reading_thread_that_waits_long_for_the_pool_is_rescued_too():
    dispatcher, clock, _ = make(2, direct=True)
    waited_for = Fetch(0)
    out = dispatcher.add([waited_for, Fetch(1)])
    for _ in range(FIRST_TRY - 1):
        dispatcher.end(out.pop(), b"")
        out += dispatcher.add([Fetch(1)])
    dispatcher.end(out.pop(), b"")
    dispatcher.take_over([])
    assert dispatcher.add([Fetch(1)]) == []
    assert indices(dispatcher.in_flight()) == [0]
    assert dispatcher.rescue() == []
    clock.now_s += STUCK_S
    assert indices(dispatcher.rescue()) == [1]


def test_a_direct_fetch_that_fails_is_counted():
    dispatcher, _, board = make_direct()
    fetches = [Fetch(0)]
    dispatcher.add(fetches)
    direct = dispatcher.take_over(fetches)
    assert direct.take_next()
    with pytest.raises(ZeroDivisionError):
        direct.carry_out(lambda index: 1 / index, fetches[0])
    dispatcher.end_direct(direct)
    assert board.read()[0].failures == 1
