from __future__ import annotations

import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from store_contract import KeysAreOpaqueContract, StoreContract, on_loop

from concurrent_dataloader._base.errors import IncompleteBody
from concurrent_dataloader.storage import MemoryStore

WAIT_S = 30.0  # seconds, an upper limit for what takes milliseconds


class TestMemoryStore(StoreContract, KeysAreOpaqueContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()


def test_faults_follow_their_script_and_then_end() -> None:
    store = MemoryStore({"key": b"body"}, faults={"key": [IncompleteBody("2 of 4"), None, OSError("reset")]})
    with pytest.raises(IncompleteBody, match="2 of 4"):
        store.get("key")
    assert store.get("key") == b"body"
    with pytest.raises(OSError, match="reset"):
        on_loop(store, lambda: store.aget("key"))
    assert store.get("key") == b"body"
    assert store.requests == store.requests_of("key") == 4


def test_counts_the_readings_that_go_on_at_once() -> None:
    gates = {"gated": threading.Event()}
    store = MemoryStore({"gated": b"body"}, gates=gates)
    with ThreadPoolExecutor(3) as pool:
        readings = [pool.submit(store.get, "gated") for _ in range(3)]
        assert store.wait_for_in_flight(3, WAIT_S)
        assert not any(each.done() for each in readings)
        gates["gated"].set()
        assert [each.result(WAIT_S) for each in readings] == [b"body"] * 3
    assert (store.in_flight, store.max_in_flight, store.requests) == (0, 3, 3)


def test_gates_hold_tasks_without_blocking_their_loop() -> None:
    gates = {"gated": threading.Event()}
    store = MemoryStore({"gated": b"gated", "free": b"free"}, gates=gates)

    async def read_both() -> list[bytes]:
        import asyncio

        held = asyncio.ensure_future(store.aget("gated"))
        free = await store.aget("free")
        assert not held.done()
        gates["gated"].set()
        return [free, await held]

    assert on_loop(store, read_both) == [b"free", b"gated"]


def test_a_pickled_store_keeps_its_behaviour_and_starts_to_count_anew() -> None:
    store = MemoryStore({"key": b"body"}, latency_s=0.001, faults={"key": [OSError("reset")]})
    with pytest.raises(OSError, match="reset"):
        store.get("key")
    copy = pickle.loads(pickle.dumps(store))
    assert copy.requests == 0
    with pytest.raises(OSError, match="reset"):
        copy.get("key")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_counts_for_itself() -> None:
    store = MemoryStore({"key": b"body"})
    store.get("key")
    child = os.fork()
    if child == 0:
        os._exit(0 if store.requests == 0 and store.get("key") == b"body" and store.requests == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.requests == 1
