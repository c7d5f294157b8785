"""Peak memory of workers, also of those that are gone at the end."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from benchmarking.bench.memory import LOOK_EVERY_S, LargestWorker, peak_rss_mib

MIB = 1024 * 1024


def hold(size_bytes: int, parent: Connection) -> None:
    """Fills memory, lets go of it, and waits until the parent has looked."""
    filled = b"x" * size_bytes
    del filled
    parent.send("filled")
    parent.recv()


@contextmanager
def worker(size_bytes: int) -> Iterator[int]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=hold, args=(size_bytes, there), daemon=True)
    process.start()
    try:
        assert here.recv() == "filled"
        assert process.pid is not None
        yield process.pid
    finally:
        here.send("done")
        process.join()


def test_the_peak_of_the_largest_worker_outlives_it() -> None:
    largest = LargestWorker()
    with worker(1 * MIB), worker(200 * MIB):
        largest.look(0.0)
    assert largest.peak_mib > 200.0


def test_a_worker_is_not_looked_at_again_too_soon() -> None:
    largest = LargestWorker()
    largest.look(0.0)
    with worker(1 * MIB):
        largest.look(LOOK_EVERY_S / 2)
        assert largest.peak_mib == 0.0
        largest.look(LOOK_EVERY_S)
        assert largest.peak_mib > 1.0


def test_children_that_are_no_workers_do_not_count() -> None:
    subprocess.run([sys.executable, "-c", f"b'x' * {100 * MIB}"], check=True)
    largest = LargestWorker()
    largest.look(0.0)
    assert largest.peak_mib == 0.0


def test_a_process_that_is_gone_has_no_memory() -> None:
    with worker(1 * MIB) as pid:
        assert peak_rss_mib(pid) > 1.0
    assert peak_rss_mib(pid) == 0.0
