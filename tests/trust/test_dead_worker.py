"""What the main process says of a worker that dies, where torch alone would say something else."""

from __future__ import annotations

import contextlib
import gc
import os
import queue
import signal
import tempfile
import time

import pytest
import torch
from scripted import Gate, Scripted

from benchmarking.soak.gauges import Gauges, leaks_since
from concurrent_dataloader import DataLoader


def _kill_first_worker(batches):
    worker = batches._workers[0]
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()  # torch's handler of SIGCHLD would raise in here
    return worker


def test_a_death_is_told_by_the_call_for_a_batch_and_nowhere_else():
    batches = iter(DataLoader(Scripted(64, {}), batch_size=2, num_workers=2))
    next(batches)
    worker = _kill_first_worker(batches)
    with tempfile.NamedTemporaryFile():  # in whose opening torch's handler raised now and then
        pass
    with pytest.raises(
        RuntimeError, match=rf"DataLoader worker \(pid {worker.pid}\) is killed by signal: Killed\. It was fetching"
    ):
        list(batches)  # batches that have been received already come first


def _pass_on(results, batches, _device_index, done, _device):
    """torch's pinning thread, where there is nothing to pin for."""
    while not done.is_set():
        with contextlib.suppress(queue.Empty):
            batches.put(results.get(timeout=0.1))


@pytest.mark.parametrize("timeout", [0, 60])
def test_a_death_is_told_soon_where_a_thread_pins_what_the_workers_send(monkeypatch, timeout):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_device_index", lambda: 0)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda *_, **__: torch.device("cuda"))
    monkeypatch.setattr(torch.utils.data._utils.pin_memory, "_pin_memory_loop", _pass_on)
    gate = Gate()
    script = dict.fromkeys(range(2, 8), "gate")
    loader = DataLoader(Scripted(8, script, gate), 2, num_workers=1, pin_memory=True, timeout=timeout)
    batches = iter(loader)
    assert next(batches)[0].tolist() == [0, 1]
    _kill_first_worker(batches)
    began_s = time.monotonic()
    with pytest.raises(RuntimeError, match=r"is killed by signal: Killed\. It was fetching samples 2 \("):
        next(batches)
    assert time.monotonic() - began_s < 30
    del batches
    gc.collect()
    gate.close()


def test_a_death_between_two_epochs_of_persistent_workers_is_told_by_the_next_and_again():
    loader = DataLoader(Scripted(8, {}), batch_size=2, num_workers=2, persistent_workers=True)
    assert len(list(loader)) == 4
    _kill_first_worker(loader._iterator)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"^DataLoader worker \(pid \d+\) is killed by signal: Killed"):
            iter(loader)


@pytest.mark.parametrize("held", ["nothing", "the queue's lock", "the event's lock"])
def test_who_goes_on_after_a_death_is_told_once_and_gets_what_the_other_worker_reads(held):
    batches = iter(DataLoader(Scripted(24, {}), batch_size=2, num_workers=2, prefetch_factor=2))
    next(batches)
    if held == "the queue's lock":
        batches._worker_result_queue._wlock.acquire()  # as the worker had done that is killed while it writes
    if held == "the event's lock":
        batches._workers_done_event._cond._lock.acquire()  # as it does before each batch, to see whether it is to end
    _kill_first_worker(batches)
    errors, rest = [], []
    while True:
        try:
            rest += next(batches)[0].tolist()
        except StopIteration:
            break
        except RuntimeError as error:
            errors.append(str(error))
    assert len(errors) == 1
    assert set(range(2, 4)) | set(range(6, 8)) <= set(rest)
    assert rest == sorted(set(rest))


def test_workers_are_shut_down_also_where_one_was_killed_as_it_asked_whether_to_end():
    batches = iter(DataLoader(Scripted(24, {}), batch_size=2, num_workers=2))
    next(batches)
    others = batches._workers[1:]
    batches._workers_done_event._cond._lock.acquire()
    _kill_first_worker(batches)
    del batches
    gc.collect()
    assert not any(worker.is_alive() for worker in others)


def test_a_batch_of_a_dead_worker_that_comes_when_it_was_passed_over_is_dropped():
    batches = iter(DataLoader(Scripted(24, {}), batch_size=2, num_workers=2, prefetch_factor=2, timeout=30))
    next(batches)
    worker = _kill_first_worker(batches)
    with pytest.raises(RuntimeError, match=str(worker.pid)):
        list(batches)
    number = next(sent for sent, task in batches._task_info.items() if task == (0,))
    del batches._task_info[number]  # as torch does when it passes it over
    batches._worker_result_queue.put((number, [torch.tensor([-1, -1]), torch.tensor([-1, -1])]))
    assert -1 not in torch.cat([batch[0] for batch in batches])


def test_a_batch_that_a_dead_worker_has_sent_is_there():
    batches = iter(DataLoader(Scripted(4, {}), batch_size=2, num_workers=1, num_fetch_workers=2))
    first = next(batches)
    while batches._worker_result_queue.empty():
        pass
    _kill_first_worker(batches)
    _, second = batches._worker_result_queue.get()
    assert torch.equal(second[0], first[0] + 2)


def test_a_worker_that_is_killed_leaves_no_folder_behind(tmp_path):
    batches = iter(DataLoader(Scripted(64, {}), batch_size=2, num_workers=2))
    next(batches)
    _kill_first_worker(batches)
    del batches
    gc.collect()
    assert os.listdir(tmp_path) == []


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
    join = worker.join

    def die_in_join(timeout=None):
        del worker.join
        os.kill(worker.pid, signal.SIGKILL)
        join(timeout)  # torch's handler would raise in here

    worker.join = die_in_join
    batches._index_queues[0].put = lambda message: None  # torch's farewell, so that it lives until then
    batches._shutdown_workers()
    assert worker.exitcode == -signal.SIGKILL


def test_a_worker_that_dies_while_it_is_shut_down_is_no_error_and_leaves_nothing_behind():
    before = Gauges.read()
    _shut_down_while_a_worker_dies()
    assert not leaks_since(before)


def test_a_forked_process_that_drops_an_iterator_leaves_its_workers_alone():
    batches = iter(DataLoader(Scripted(8, {}), batch_size=2, num_workers=1))
    next(batches)
    pid = os.fork()
    if not pid:
        try:
            batches.__del__()  # the garbage collector of a forked worker calls it, or the end of a name
        except AssertionError:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert len(list(batches)) == 3
