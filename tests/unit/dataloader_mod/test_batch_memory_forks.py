"""Memory shared with a worker, where processes fork, threads meet and signals come."""

import ctypes
import functools
import multiprocessing
import signal

import pytest
from memory_parts import FREE, GIVEN_UP, IN_USE, Worker, is_full_of

from concurrent_dataloader.dataloader_mod import batch_memory
from concurrent_dataloader.dataloader_mod.post_office import PostOffice


@pytest.fixture
def office():
    office = PostOffice()
    yield office
    office.close()


@pytest.fixture
def worker(office):
    worker = Worker(office)
    yield worker
    worker.box.end.close()


def test_a_forked_process_keeps_what_it_has_inherited(worker):
    batch, free = worker.pass_on(1), worker.pass_on(2)
    addresses, free_address = {batch.data_ptr()}, free.data_ptr()
    del free
    context = multiprocessing.get_context("fork")
    may_look, answers = context.Event(), context.SimpleQueue()

    inherited = [batch]

    def look():
        may_look.wait()
        answers.put(is_full_of(inherited[0], 1))

    child = context.Process(target=look)
    child.start()
    del batch
    inherited.clear()
    written = {worker.pass_on(value).data_ptr() for value in range(3, 9)}
    may_look.set()
    assert answers.get()
    child.join()
    assert written & {free_address}
    assert not written & addresses


def test_a_forked_process_does_not_set_the_memory_of_its_parent_free(worker, office):
    batches = [worker.pass_on(1)]
    (piece,) = office.memory.pieces()

    def let_go():
        piece._memory[0], piece._memory[1] = IN_USE, 0  # as if received between the hook and the fork
        batches.clear()

        assert not batch_memory._forking  # else all that this process receives would be given up

    child = multiprocessing.get_context("fork").Process(target=let_go)
    child.start()
    child.join()
    assert child.exitcode == 0
    assert piece.state == IN_USE
    batches.clear()
    assert piece.state == FREE


def test_what_is_received_while_another_thread_forks_is_not_written_again(worker, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(batch_memory, "_forking", [True])
        address = worker.pass_on(1).data_ptr()
    assert address not in {worker.pass_on(value).data_ptr() for value in (2, 3)}


def test_a_process_forked_amid_collation_does_not_write_in_the_memory_of_the_worker(worker):
    taken = multiprocessing.get_context("fork").RawValue("b", -1)

    def take():
        taken.value = worker.memory.allocate(100) is not None

    with worker.memory.collating():
        child = multiprocessing.get_context("fork").Process(target=take)
        child.start()
        child.join()
        assert taken.value == 0
        assert worker.memory.allocate(100) is not None


def test_memory_that_a_forked_process_of_the_worker_sees_stays_given_up_when_the_caller_lets_go(worker, office):
    kept = worker.collate(1)
    worker.send(kept)
    batch = worker.receive()
    worker.memory.pieces()[0].give_up()
    (piece,) = office.memory.pieces()
    assert piece._memory[0] == IN_USE  # the caller may have just looked at it
    del batch
    assert piece.state == GIVEN_UP


def test_an_interrupt_is_not_lost_when_it_comes_as_a_batch_is_let_go(worker, office):
    batches = [worker.pass_on(1)]
    interrupt = functools.partial(ctypes.PyDLL(None)["raise"], signal.SIGINT)
    both = zip(iter(interrupt, None), iter(batches.clear, 1), strict=True)  # no Python between the two
    with pytest.raises(KeyboardInterrupt):
        next(both)
    assert not batches
    assert office.memory.pieces()[0].state == FREE
