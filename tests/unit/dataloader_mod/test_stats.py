from __future__ import annotations

import pytest

from concurrent_dataloader.dataloader_mod import stats
from concurrent_dataloader.dataloader_mod.stats import LoaderStats, StatsBoard, WorkerStats


def test_each_worker_counts_in_its_own_cells_and_all_see_the_last_throttling():
    board = StatsBoard(2, [0.0] * StatsBoard.size(2))
    board.worker(0).add(stats.FETCHES, 3)
    board.worker(1).add(stats.WAIT_S, 0.5)
    board.worker(1).throttled_s = 7.0
    assert board.read() == (WorkerStats(fetches=3), WorkerStats(wait_s=0.5))
    assert board.worker(0).throttled_s == 7.0


def test_the_first_workers_limit_counts_for_those_who_know_of_no_later_refusal():
    board = StatsBoard(2, [0.0] * StatsBoard.size(2))
    assert board.worker(1).led(0.0) == 0
    board.worker(0).lead(16, 7.0)
    assert board.worker(1).led(7.0) == 16
    assert board.worker(1).led(7.5) == 0


def test_the_total_adds_up_all_workers():
    found = LoaderStats((WorkerStats(fetches=3, wait_s=0.5), WorkerStats(fetches=4, in_flight=2)))
    assert found.total == WorkerStats(fetches=7, wait_s=0.5, in_flight=2)


@pytest.mark.parametrize(
    ("worker", "words"),
    [
        (WorkerStats(wait_s=9, process_s=1), "raise num_fetch_workers"),
        (WorkerStats(wait_s=1, process_s=9), "raise num_workers"),
        (WorkerStats(wait_s=5, process_s=5), "in balance"),
        (WorkerStats(wait_s=9, process_s=1, fetches=299, throttled=3), "refused 3 requests"),
        (WorkerStats(wait_s=9, process_s=1, fetches=301, throttled=3), "wait for the store"),
        (WorkerStats(), "Nothing was measured"),
    ],
)
def test_the_advice_says_what_to_change(worker, words):
    assert words in LoaderStats((worker,), batches=3).advice
