from __future__ import annotations

import asyncio
import threading

import pytest
from engine_parts import WAIT_S, Gate, new_pool, take

from concurrent_dataloader._base.errors import DatasetError
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


def submit(pool, indices):
    fetches = [Fetch(index) for index in indices]
    pool.submit(fetches)
    return fetches


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


def test_tasks_run_no_more_than_the_size_and_all_of_it():
    begun, most, running = threading.Semaphore(0), 0, 0

    async def meet(index):
        nonlocal most, running
        running += 1
        most = max(most, running)
        begun.release()
        await asyncio.sleep(0)
        running -= 1
        return index

    pool = new_pool(meet, 3, is_async=True)
    assert [take(fetch) for fetch in submit(pool, range(20))] == list(range(20))
    assert most == 3
    pool.close()


def test_closing_tasks_cancels_them_runs_aclose_and_ends_the_loop():
    begun, ended = threading.Event(), []

    async def wait_for_ever(index):
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("fetch")

    async def aclose():
        ended.append("aclose")

    before = set(threading.enumerate())
    pool = new_pool(wait_for_ever, 2, is_async=True, aclose=aclose)
    (fetch,) = submit(pool, [0])
    assert begun.wait(WAIT_S)
    pool.close()
    assert ended == ["fetch", "aclose"]
    assert not set(threading.enumerate()) - before
    with pytest.raises(FetchCancelled):
        take(fetch)


def test_closing_tasks_cancels_what_the_dataset_started_itself_after_its_aclose():
    ended, started = [], []

    async def for_ever():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("own task")

    async def start_another(index):
        started.append(asyncio.get_running_loop().create_task(for_ever()))
        await asyncio.sleep(0)  # it has begun
        return index

    async def aclose():
        ended.append("aclose")

    pool = new_pool(start_another, 1, is_async=True, aclose=aclose)
    take(submit(pool, [0])[0])
    pool.close()
    assert ended == ["aclose", "own task"]


def test_an_aclose_that_fails_is_logged_and_the_loop_still_ends(caplog):
    async def read(index):
        return index

    async def aclose():
        raise ValueError("bad")

    before = set(threading.enumerate())
    pool = new_pool(read, 1, is_async=True, aclose=aclose)
    take(submit(pool, [0])[0])
    pool.close()
    assert "closing the dataset's event-loop client failed" in caplog.text
    assert not set(threading.enumerate()) - before


def test_a_coroutine_that_cancels_itself_is_a_failed_sample_and_loses_no_other():
    async def cancel_itself(index):
        if index == 0:
            raise asyncio.CancelledError
        return index

    pool = new_pool(cancel_itself, 1, is_async=True)
    fetches = submit(pool, range(4))
    with pytest.raises(DatasetError, match="cancelled"):
        take(fetches[0])
    assert [take(fetch) for fetch in fetches[1:]] == [1, 2, 3]
    pool.close()


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
