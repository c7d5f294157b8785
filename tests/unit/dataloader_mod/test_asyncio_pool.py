from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
import threading

import pytest
from engine_parts import WAIT_S, new_pool, submit, take

from concurrent_dataloader import DataLoader
from concurrent_dataloader._base.errors import DatasetError
from concurrent_dataloader.dataloader_mod.pending import FetchCancelled

HAS_UVLOOP = importlib.util.find_spec("uvloop") is not None


@pytest.fixture(autouse=True, params=["uvloop", "asyncio"])
def loop_module(request, monkeypatch):
    """Runs every test on both kinds of loop."""
    if request.param == "asyncio":
        monkeypatch.setitem(sys.modules, "uvloop", None)  # importing it fails now
    elif not HAS_UVLOOP:
        pytest.skip("uvloop is not installed")
    return request.param


async def name_the_loop(index):
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def test_the_loop_is_uvloops_where_that_is_installed_else_asyncios_and_nothing_is_said(loop_module, caplog):
    pool = new_pool(name_the_loop, 1, is_async=True)
    assert take(submit(pool, [0])[0]) == loop_module
    pool.close()
    assert not caplog.records


def test_a_loop_that_the_users_policy_gives_is_the_one_that_is_used():
    class UsersLoop(asyncio.SelectorEventLoop):
        pass

    class UsersPolicy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self):
            return UsersLoop()

    async def is_the_users(index):
        return isinstance(asyncio.get_running_loop(), UsersLoop)

    asyncio.set_event_loop_policy(UsersPolicy())
    try:
        pool = new_pool(is_the_users, 1, is_async=True)
        assert take(submit(pool, [0])[0])
        pool.close()
    finally:
        asyncio.set_event_loop_policy(None)


class WhereItRuns:
    """A two-phase dataset whose samples tell in which process and on which loop they were read."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        raise AssertionError("read without a loop")

    def fetch(self, index):
        raise AssertionError("read without a loop")

    async def afetch(self, index):
        await asyncio.sleep(0)
        return index, os.getpid(), await name_the_loop(index)

    def process(self, index, raw):
        return raw


def test_a_forked_worker_makes_a_loop_of_its_own_though_one_runs_in_its_parent(loop_module):
    def samples_of(loader):
        return [sample for batch in loader for sample in batch]

    options = {"batch_size": 3, "fetch_impl": "asyncio", "num_fetch_workers": 4, "collate_fn": list}
    in_main = iter(DataLoader(WhereItRuns(), **options))
    assert next(in_main) == [(index, os.getpid(), loop_module) for index in range(3)]
    samples = samples_of(DataLoader(WhereItRuns(), num_workers=2, multiprocessing_context="fork", **options))
    assert [index for index, _, _ in samples] == list(range(12))
    assert len({pid for _, pid, _ in samples} - {os.getpid()}) == 2
    assert {name for _, _, name in samples} == {loop_module}
    assert [sample[0] for batch in in_main for sample in batch] == list(range(3, 12))


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
