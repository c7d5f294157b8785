"""How the unit tests make the parts of an engine; the one place that knows their constructors."""

from __future__ import annotations

import threading

from concurrent_dataloader._base.options import FetchOptions
from concurrent_dataloader.dataloader_mod.concurrency import ConcurrencyLimit
from concurrent_dataloader.dataloader_mod.direct import DirectReading
from concurrent_dataloader.dataloader_mod.dispatch import Dispatcher
from concurrent_dataloader.dataloader_mod.engine import EngineSettings, FetchEngine
from concurrent_dataloader.dataloader_mod.fetch import make_pool
from concurrent_dataloader.dataloader_mod.hedging import HedgePolicy
from concurrent_dataloader.dataloader_mod.pending import Fetch
from concurrent_dataloader.dataloader_mod.plan import FetchPlan
from concurrent_dataloader.dataloader_mod.stats import StatsBoard

WAIT_S = 30
"""How long a test waits for an event before it fails; no test waits this long when all is well."""


def new_pool(fetch, size, *, is_async=False, aclose=None):
    direct = DirectReading(possible=False)
    dispatcher = Dispatcher(ConcurrencyLimit(size), HedgePolicy(enabled=False), direct, new_counters())
    return make_pool(FetchPlan(fetch, is_async=is_async, aclose=aclose), dispatcher, size)


def new_counters():
    return StatsBoard(1, [0.0] * StatsBoard.size(1)).worker(0)


def new_engine(
    dataset,
    *,
    workers=4,
    batch_pool=2,
    auto_collation=True,
    in_order=True,
    counters=None,
    on_random_draws=lambda: None,
    **options,
):
    settings = EngineSettings(FetchOptions(workers, **options), batch_pool, auto_collation, in_order=in_order)
    return FetchEngine(dataset, settings, counters=counters or new_counters(), on_random_draws=on_random_draws)


def submit(pool, indices):
    fetches = [Fetch(index) for index in indices]
    pool.submit(fetches)
    return fetches


def take(fetch):
    """Waits for a fetch as the reading thread does, but not for ever."""

    def give_up():
        raise AssertionError("the fetch was never answered")

    return fetch.take(give_up)


class Gate:
    """A fetch that tells when it has begun and ends when it is let."""

    def __init__(self):
        self.begun, self.open = threading.Semaphore(0), threading.Event()
        self.seen = []

    def __call__(self, index):
        self.seen.append(index)
        self.begun.release()
        assert self.open.wait(WAIT_S)
        return index

    def wait_until_begun(self, count):
        for _ in range(count):
            assert self.begun.acquire(timeout=WAIT_S)
