"""How the workers of a loader share a limit, and what refusals do to it, with a clock that the test moves."""

from __future__ import annotations

from dispatch_parts import make, make_worker, with_known_latency

from concurrent_dataloader.dataloader_mod.pending import Fetch


def test_refusals_make_this_and_the_other_worker_fall_back_and_stop_second_attempts():
    dispatcher, clock, board = with_known_latency()
    other = make_worker(board, 1, clock, hedging=True)
    (run,) = dispatcher.add([Fetch("slow")])
    _refuse(run)
    clock.now_s += 1
    assert dispatcher.due_hedges()[0] == []
    assert len(other.add(map(Fetch, range(64)))) == 32
    mine, others = board.read()
    assert (mine.throttled, mine.retries, mine.fetch_workers, others.fetch_workers) == (3, 3, 32, 32)


def test_the_first_worker_learns_for_all_and_the_others_follow():
    _, clock, board = make()
    workers = [make_worker(board, number, clock, adaptive=True) for number in (0, 1)]
    for worker in workers:
        worker.add(map(Fetch, range(100_000)))
    limits = []
    for _ in range(40):
        clock.now_s += 0.1  # a store that answers all that is in flight at once
        for worker in workers:
            for run in worker.in_flight():
                worker.end(run, b"body")
        limits.append([each.fetch_workers for each in board.read()])
    assert limits[0] == [8, 8]  # after the first wave
    assert limits[-1] == [64, 64]
    assert board.worker(1).progress() == [(each.fetches, each.starved) for each in board.read()]
    assert all(each.fetches for each in board.read())


def test_amid_refusals_a_given_number_follows_the_first_workers_unless_that_has_not_heard_of_the_last_one():
    _, clock, board = make()
    leader, follower = (make_worker(board, number, clock) for number in (0, 1))
    clock.now_s = 1.0
    (run,) = leader.add([Fetch("refused")])
    _refuse(run)
    clock.now_s += 1.0
    _refuse(run)  # down to 16
    answered, *others = follower.add(map(Fetch, range(64)))
    follower.end(answered, b"body")
    assert [each.fetch_workers for each in board.read()] == [16, 16]
    clock.now_s += 1.0
    _refuse(others[0])  # the follower's own: the leader does nothing, and so knows nothing of it
    follower.end(others[0], b"body")
    leading, following = (each.fetch_workers for each in board.read())
    assert (leading, following) == (16, 8)
    leader.add([])
    assert board.read()[0].fetch_workers == 8


def test_a_first_worker_that_begins_amid_refusals_begins_with_less_and_is_not_followed_before():
    _, clock, board = make()
    follower = make_worker(board, 1, clock)
    clock.now_s = 1.0
    answered, *_ = follower.add(map(Fetch, range(64)))
    _refuse(answered)
    leader = make_worker(board, 0, clock)
    follower.end(answered, b"body")
    assert board.read()[1].fetch_workers == 32
    assert len(leader.add(map(Fetch, range(64)))) == 32


def test_a_refusal_of_long_ago_changes_nothing_for_a_worker_that_had_nothing_to_do():
    dispatcher, clock, board = make(64)
    clock.now_s = 60.0
    board.worker(1).throttled_s = 54.9
    assert len(dispatcher.add(map(Fetch, range(64)))) == 64


def test_what_the_first_worker_tells_is_as_old_as_the_last_refusal_that_it_has_taken_in():
    dispatcher, clock, board = make(64)
    clock.now_s = 1.0
    (run,) = dispatcher.add([Fetch("refused")])
    _refuse(run)
    board.worker(1).throttled_s = 3.0  # another worker's, of which the first has not heard
    assert board.worker(1).led(1.0) == 32
    assert board.worker(1).led(3.0) == 0


def test_one_refusal_among_a_thousand_answers_is_counted_and_changes_no_limit():
    dispatcher, clock, board = make(64)
    for run in dispatcher.add(map(Fetch, range(1000))):
        dispatcher.end(run, b"body")
    for _ in range(936):
        clock.now_s += 0.001
        dispatcher.end(dispatcher.in_flight()[0], b"body")
    (run,) = dispatcher.add([Fetch("refused")])
    run.retrying(throttled=True)
    assert (board.read()[0].throttled, board.read()[0].fetch_workers) == (1, 64)


def test_a_retry_for_another_reason_changes_no_limit():
    dispatcher, _, board = make(8)
    (run,) = dispatcher.add([Fetch(0)])
    run.retrying(throttled=False)
    assert (board.read()[0].retries, board.read()[0].fetch_workers) == (1, 8)


def _refuse(run):
    """As often as it takes to count."""
    for _ in range(3):
        run.retrying(throttled=True)
