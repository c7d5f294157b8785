from __future__ import annotations

import threading

import pytest
from engine_parts import Gate, new_pool, submit, take

from concurrent_dataloader.dataloader_mod.pending import Fetch, FetchCancelled


def as_coroutine(fetch):
    async def call(index):
        return fetch(index)

    return call


@pytest.fixture(params=["threads", "tasks"])
def pool_of(request):
    """Makes pools over a quick function, and closes them."""
    pools = []

    def make(fetch, size=3):
        is_async = request.param == "tasks"
        pools.append(new_pool(as_coroutine(fetch) if is_async else fetch, size, is_async=is_async))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def test_every_fetch_is_answered_with_its_own_value(pool_of):
    pool = pool_of(lambda index: index * 10)
    fetches = submit(pool, range(50)) + submit(pool, range(50, 60))
    assert [take(fetch) for fetch in fetches] == [index * 10 for index in range(60)]


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_any_kind_of_error_is_the_answer_and_the_pool_goes_on(pool_of, error):
    def fail_for_odd(index):
        if index % 2:
            raise error
        return index

    fetches = submit(pool_of(fail_for_odd, size=1), range(4))
    for fetch in fetches[1::2]:
        with pytest.raises(error):
            take(fetch)
    assert [take(fetch) for fetch in fetches[::2]] == [0, 2]


def test_a_fetch_that_was_given_up_before_its_turn_is_not_run(pool_of):
    seen = []
    pool = pool_of(seen.append, size=1)
    fetches = [Fetch(0), Fetch(1), Fetch(2)]
    fetches[1].settle(error=FetchCancelled())
    pool.submit(fetches)
    take(fetches[2])
    assert seen == [0, 2]


def test_a_pool_that_was_never_used_closes_and_closing_twice_is_harmless(pool_of):
    pool = pool_of(lambda index: index)
    pool.close()
    pool.close()


def test_threads_run_no_more_than_the_size_and_all_of_it():
    gate = Gate()
    pool = new_pool(gate, 3)
    fetches = submit(pool, range(5))
    gate.wait_until_begun(3)
    assert sorted(gate.seen) == [0, 1, 2]
    gate.open.set()
    assert [take(fetch) for fetch in fetches] == list(range(5))
    pool.close()


def test_closing_threads_does_not_wait_for_a_fetch_that_is_out():
    gate = Gate()
    pool = new_pool(gate, 1)
    submit(pool, [0])
    gate.wait_until_begun(1)
    pool.close()  # returns, or the test hangs
    gate.open.set()


def test_where_no_more_threads_can_be_started_those_that_are_there_do_the_work(monkeypatch, caplog):
    start = threading.Thread.start

    def start_three(thread):
        if thread.name not in ("fetch-1", "fetch-2", "fetch-3"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_three)
    gate = Gate()
    pool = new_pool(gate, 8)
    fetches = submit(pool, range(100))
    gate.open.set()
    assert [take(fetch) for fetch in fetches] == list(range(100))
    pool.close()
    assert caplog.text.count("going on with 3 fetch threads, since no more can be started") == 1
