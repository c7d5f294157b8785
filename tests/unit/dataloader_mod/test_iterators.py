"""How what reads in the caller's process ends when nobody holds it any more: `DataLoader` and `ConcurrentDataset`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from torch.utils.data import Dataset

from concurrent_dataloader import ConcurrentDataset, DataLoader

WAIT_S = 30.0  # for what is expected; a thread that waits for itself waits for ever


class Numbers(Dataset[int]):
    def __len__(self) -> int:
        return 16

    def fetch(self, index: int) -> int:
        return index

    def process(self, index: int, raw: int) -> int:
        return raw


def _collects_under_the_lock_of(engine: Any, collect: Callable[[], object]) -> None:
    closed = threading.Event()
    close_pool = engine._pool.close
    engine._pool.close = lambda: (close_pool(), closed.set())

    def collect_under_the_lock() -> None:
        with engine._dispatcher._lock:
            collect()

    thread = threading.Thread(target=collect_under_the_lock, daemon=True)
    thread.start()
    thread.join(WAIT_S)
    assert not thread.is_alive()
    assert closed.wait(WAIT_S)


@pytest.mark.parametrize("fetch_impl", ["threaded", "asyncio"])
def test_an_iterator_may_be_collected_in_a_thread_that_holds_the_lock_of_its_own_engine(fetch_impl: Any) -> None:
    batches: Any = iter(DataLoader(Numbers(), batch_size=4, fetch_impl=fetch_impl))
    next(batches)
    _collects_under_the_lock_of(batches._engine, batches._close)


@pytest.mark.parametrize("fetch_impl", ["threaded", "asyncio"])
def test_so_may_a_concurrent_dataset(fetch_impl: Any) -> None:
    dataset = ConcurrentDataset(Numbers(), fetch_impl=fetch_impl)
    assert dataset.__getitems__([1, 2]) == [1, 2]
    held = [dataset]
    engine = dataset._engine()
    del dataset
    _collects_under_the_lock_of(engine, held.clear)


def test_the_thread_that_reads_closes_the_engine_before_it_goes_on() -> None:
    batches: Any = iter(DataLoader(Numbers(), batch_size=4, num_fetch_workers=2))
    next(batches)
    closed_in: list[int] = []
    close_pool = batches._engine._pool.close
    batches._engine._pool.close = lambda: (close_pool(), closed_in.append(threading.get_ident()))
    batches._close()
    assert closed_in == [threading.get_ident()]
