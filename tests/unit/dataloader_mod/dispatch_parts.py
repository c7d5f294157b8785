"""How the unit tests make a dispatcher, with a clock that the test moves."""

from __future__ import annotations

from concurrent_dataloader.dataloader_mod.concurrency import ConcurrencyLimit
from concurrent_dataloader.dataloader_mod.direct import DirectReading
from concurrent_dataloader.dataloader_mod.dispatch import Dispatcher
from concurrent_dataloader.dataloader_mod.hedging import HedgePolicy
from concurrent_dataloader.dataloader_mod.pending import Fetch
from concurrent_dataloader.dataloader_mod.stats import StatsBoard


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


def make(limit=2, *, hedging=False, direct=False, max_bytes=None, counters=None):
    clock = Clock()
    board = StatsBoard(2, [0.0] * StatsBoard.size(2))
    dispatcher = Dispatcher(
        ConcurrencyLimit(limit),
        HedgePolicy(enabled=hedging),
        DirectReading(possible=direct),
        counters or board.worker(0),
        max_bytes=max_bytes,
        clock=clock,
    )
    return dispatcher, clock, board


def make_worker(board, number, clock, *, hedging=False, **options):
    """The dispatcher of one worker of several, which share a board; the first one leads."""
    counters = board.worker(number)
    return Dispatcher(
        ConcurrencyLimit(64, leads=counters.is_first, progress=counters.progress, **options),
        HedgePolicy(enabled=hedging),
        DirectReading(possible=False),
        counters,
        clock=clock,
    )


def indices(runs):
    return [run.fetch.index for run in runs]


def ignore():
    pass


def with_known_latency(latency_s=0.1):
    """A dispatcher that has seen a hundred fetches of a latency, and so has five second attempts to spend."""
    dispatcher, clock, board = make(64, hedging=True)
    for _ in range(100):
        (run,) = dispatcher.add([Fetch(-1)])
        clock.now_s += latency_s
        dispatcher.end(run, b"body")
    return dispatcher, clock, board
