"""The end of a worker is noticed at once, where somebody waits, and leaves no message half read."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import pickle
import queue
import signal
import struct
import threading
import time

import pytest

from concurrent_dataloader._base.worker_watch import WorkerWatch, describe_ends

FORK = multiprocessing.get_context("fork")
PATIENCE_S = 60.0


@pytest.fixture
def start():
    workers = []

    def start_a_worker(target=signal.pause, *args):
        workers.append(FORK.Process(target=target, args=args, daemon=True))
        workers[-1].start()
        return workers[-1]

    yield start_a_worker
    for worker in workers:
        worker.kill()
        worker.join()
        worker.close()


def kill(worker):
    os.kill(worker.pid, signal.SIGKILL)
    assert multiprocessing.connection.wait([worker.sentinel], PATIENCE_S)


def test_a_worker_that_ends_is_returned_once_and_ends_the_wait(start):
    workers = [start(), start(), start()]
    watch = WorkerWatch(workers)
    assert watch.ended(0.0) == []
    kill(workers[1])
    began_s = time.monotonic()
    assert watch.ended(PATIENCE_S) == [workers[1]]
    assert time.monotonic() - began_s < PATIENCE_S
    assert watch.ended(0.0) == []
    kill(workers[2])
    kill(workers[0])
    assert watch.ended(PATIENCE_S) == [workers[0], workers[2]]


def test_a_pipe_that_can_be_read_ends_the_wait(start):
    reader, writer = FORK.Pipe(duplex=False)
    with reader, writer:
        writer.send("a batch")
        began_s = time.monotonic()
        assert WorkerWatch([start()]).ended(PATIENCE_S, [reader]) == []
        assert time.monotonic() - began_s < PATIENCE_S


def _close_all_but(reader):
    os.closerange(3, reader)
    os.closerange(reader + 1, 256)
    os.read(reader, 1)


def test_a_worker_that_has_closed_its_descriptors_is_alive(start, monkeypatch):
    monkeypatch.setattr("concurrent_dataloader._base.worker_watch._REAP_S", 0.1)
    out, into = os.pipe()
    worker = start(_close_all_but, out)
    watch = WorkerWatch([worker])
    assert watch.ended(PATIENCE_S) == []
    began_s = time.monotonic()
    assert watch.ended(0.2) == []
    assert time.monotonic() - began_s >= 0.2  # its sentinel does not make this a busy loop
    os.close(out)
    os.close(into)


@pytest.fixture
def guarded(start):
    """A pipe, and a worker at whose end nothing more may come."""
    worker = start()
    watch = WorkerWatch([worker])
    reader, writer = FORK.Pipe(duplex=False)
    with reader, writer:
        watch.guard(reader)
        yield reader, writer, worker


def _parts_of(message):
    body = pickle.dumps(message)
    whole = struct.pack("!i", len(body)) + body
    return whole[:2], whole[2:20], whole[20:]


def test_a_message_whose_writer_was_killed_amid_it_is_not_waited_for(guarded):
    reader, writer, worker = guarded
    os.write(writer.fileno(), b"".join(_parts_of("x" * 1000)[:2]))
    threading.Timer(0.1, os.kill, (worker.pid, signal.SIGKILL)).start()
    with pytest.raises(queue.Empty):
        reader.recv()


def test_a_message_that_a_live_writer_sends_in_parts_is_read_whole_beside_a_dead_worker(guarded):
    reader, writer, worker = guarded
    kill(worker)
    first, *rest = _parts_of(list(range(100)))
    os.write(writer.fileno(), first)
    received = []
    reading = threading.Thread(target=lambda: received.append(reader.recv()))
    reading.start()
    for part in rest:
        os.write(writer.fileno(), part)
    reading.join(PATIENCE_S)
    assert received == [list(range(100))]


def test_a_guarded_pipe_is_closed_with_its_last_reference(start):
    watch = WorkerWatch([start()])
    reader, writer = FORK.Pipe(duplex=False)
    watch.guard(reader)
    number = reader.fileno()
    del reader  # no cycle keeps it until the collector comes by
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)
    writer.close()


def _die_by(number):
    faulthandler.disable()  # pytest's would print the stacks
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("number", "end"),
    [
        (signal.SIGKILL, "is killed by signal: Killed"),
        (signal.SIGBUS, "is killed by signal: Bus error (is /dev/shm, the shared memory, full?)"),
    ],
)
def test_a_death_is_described_by_its_signal(start, number, end):
    worker = start(_die_by, number)
    worker.join()
    assert describe_ends([worker]) == f"DataLoader worker (pid {worker.pid}) {end}"


def test_an_exit_is_described_by_its_code_and_several_by_their_pids(start):
    one, other = start(os._exit, 3), start(os._exit, 0)
    one.join()
    other.join()
    assert describe_ends([one]) == f"DataLoader worker (pid {one.pid}) exited unexpectedly with exit code 3"
    assert describe_ends([one, other]) == f"DataLoader worker (pid(s) {one.pid}, {other.pid}) exited unexpectedly"
