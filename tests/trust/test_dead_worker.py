"""What the main process says of a worker that dies, where torch alone would say something else."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import threading

import pytest
from scripted import Gate, Scripted

from benchmarking.soak.gauges import Gauges, leaks_since
from concurrent_dataloader import DataLoader


def _kill_first_worker(batches):
    worker = batches._workers[0]
    with contextlib.suppress(RuntimeError):  # torch's signal handler may tell of it here already
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
    worker.join()
    return worker


def test_a_batch_that_can_no_longer_be_fetched_from_its_worker_is_told_as_the_workers_death(monkeypatch):
    batches = iter(DataLoader(Scripted(8, {}), batch_size=2, num_workers=1))
    next(batches)
    while batches._worker_result_queue.empty():  # the second batch; its tensors still lie with the worker
        pass
    worker = _kill_first_worker(batches)
    looks = []

    def looks_alive_at_first():
        looks.append(worker.exitcode)
        return len(looks) == 1  # a process that is being killed has lost its sockets before it is dead

    monkeypatch.setattr(worker, "is_alive", looks_alive_at_first)
    with pytest.raises(
        RuntimeError, match=rf"DataLoader worker \(pid\(s\) {worker.pid}\) exited unexpectedly\. It was"
    ):
        next(batches)
    assert looks


@pytest.mark.parametrize("persistent", [False, True])
def test_nothing_is_in_flight_once_the_workers_are_gone(persistent):
    gate = Gate()
    loader = DataLoader(
        Scripted(8, dict.fromkeys(range(2, 8), "gate"), gate),
        batch_size=2,
        num_workers=1,
        num_fetch_workers=4,
        persistent_workers=persistent,
    )
    batches = iter(loader)
    next(batches)
    while not loader.stats().total.in_flight:
        pass
    _kill_first_worker(batches)
    stats = loader.stats
    loader._iterator = None
    del batches
    gc.collect()
    assert stats().total.in_flight == 0
    gate.open()
    gate.close()


def _shut_down_while_a_worker_dies():
    batches = iter(DataLoader(Scripted(8, {}), batch_size=2, num_workers=2))
    next(batches)
    worker = batches._workers[0]

    def die_in_join(timeout=None):
        del worker.join
        os.kill(worker.pid, signal.SIGKILL)
        threading.Event().wait(5)  # torch's handler raises in here
        raise AssertionError("torch's signal handler did not tell of the death")

    worker.join = die_in_join
    batches._index_queues[0].put = lambda message: None  # torch's farewell, so that it lives until then
    batches._shutdown_workers()


def test_a_worker_that_dies_while_it_is_shut_down_is_no_error_and_leaves_nothing_behind():
    before = Gauges.read()
    _shut_down_while_a_worker_dies()
    assert not leaks_since(before)
