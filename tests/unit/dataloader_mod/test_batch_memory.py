"""Memory that a worker and the main process share for long; here, both of them are this process."""

import gc
import os
import queue
import socket
from multiprocessing.reduction import ForkingPickler

import pytest
import torch
from memory_parts import NUMBERS, Worker, is_full_of

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


def test_a_batch_arrives_and_its_memory_is_written_again_once_the_caller_has_let_go(worker, office):
    addresses = set()
    for value in range(50):
        batch = worker.pass_on(value)
        assert is_full_of(batch, value)
        assert batch.untyped_storage().nbytes() == NUMBERS * 8
        addresses.add(batch.data_ptr())
        del batch
    assert len(addresses) == 1
    assert len(office.memory.pieces()) == 1


def test_no_descriptor_stays_open_however_many_batches_the_caller_keeps(worker):
    before = set(os.listdir("/proc/self/fd"))
    kept = [worker.pass_on(value) for value in range(5)]
    assert set(os.listdir("/proc/self/fd")) == before
    assert all(is_full_of(batch, value) for value, batch in enumerate(kept))


@pytest.mark.parametrize(
    "hold", [lambda batch: batch[3:9].numpy(), lambda batch: batch.view(2, -1).T, torch.utils.dlpack.to_dlpack]
)
def test_memory_that_anything_of_the_caller_looks_at_is_not_written(worker, hold):
    first = worker.pass_on(1)
    address, held = first.data_ptr(), hold(first)
    del first
    assert worker.pass_on(2).data_ptr() != address
    del held
    assert {worker.pass_on(3).data_ptr(), worker.pass_on(4).data_ptr()} >= {address}


@pytest.mark.parametrize("share", [lambda batch: batch.share_memory_(), ForkingPickler.dumps])
@pytest.mark.parametrize("look", [lambda batch: batch.numpy(), torch.from_dlpack])
def test_memory_is_not_written_while_an_array_looks_at_it_though_the_tensor_was_moved(worker, office, look, share):
    batch = worker.pass_on(1)
    address, array = batch.data_ptr(), look(batch)
    share(batch)
    assert batch.data_ptr() != address
    assert address not in {worker.pass_on(value).data_ptr() for value in (2, 3)}
    office.close()
    assert is_full_of(array, 1)


def test_memory_is_not_written_while_an_array_of_the_worker_looks_at_it_though_the_tensor_was_moved(worker):
    batch = worker.collate(1)
    array = batch.numpy()
    batch.share_memory_()
    assert all(is_full_of(worker.pass_on(value), value) for value in (2, 3))
    assert is_full_of(array, 1)


def test_memory_that_the_worker_still_looks_at_is_not_written(worker):
    kept = worker.collate(1)
    worker.send(kept)
    assert is_full_of(worker.receive(), 1)  # and lets go of it
    assert is_full_of(worker.pass_on(2), 2)
    assert is_full_of(kept, 1)


def test_what_is_sent_twice_stays_as_it_is_though_its_memory_is_written_again(worker):
    kept = worker.collate(1)
    worker.send(kept)
    worker.send(kept)
    first = worker.receive()
    del first, kept
    second = worker.receive()
    later = [worker.pass_on(value) for value in (2, 3, 4)]
    assert is_full_of(second, 1)
    assert [batch[0].item() for batch in later] == [2, 3, 4]


def test_what_was_made_and_never_sent_is_written_again(worker):
    address = worker.collate(1).data_ptr()
    assert worker.collate(2).data_ptr() == address


def test_two_views_of_a_tensor_come_as_two_views_of_one(worker):
    batch = worker.collate(5)
    worker.send((batch, batch[10:20], batch.view(-1, 10)))
    whole, part, square = worker.receive()
    whole[10] = 6
    assert part[0] == square[1, 0] == 6
    assert part.shape == (10,)


def test_more_batches_than_are_kept_go_torchs_way(worker, office):
    kept = [worker.pass_on(value) for value in range(20)]
    assert len(office.memory.pieces()) == 8
    assert [batch.is_shared() for batch in kept] == [False] * 8 + [True] * 12
    assert all(is_full_of(batch, value) for value, batch in enumerate(kept))
    del kept
    assert not worker.pass_on(1).is_shared()


def test_batches_of_many_tensors_have_as_many_pieces_for_each(worker):
    with worker.memory.collating():
        made = [[worker.memory.allocate(100) for _ in range(12)]]
        assert None not in made[0]
    for _ in range(8):
        with worker.memory.collating():
            made.append([worker.memory.allocate(100) for _ in range(12)])
    assert sum(batch.count(None) for batch in made) == 12


def test_tensors_of_other_sizes_replace_what_is_free(worker, office):
    for round_ in range(3):
        for power in range(12):
            batch = worker.pass_on(round_, numbers=512 << power)
            assert batch.shape == (512 << power,)
            assert is_full_of(batch, round_)
            del batch
    assert len(office.memory.pieces()) == 8
    assert len(worker.memory._places) == 8  # another tensor may be where a piece was


def test_pieces_that_were_never_sent_leave_no_descriptor_open_when_others_replace_them(worker):
    for power in range(20):
        worker.collate(power, numbers=512 << power % 10)
    before = len(os.listdir("/proc/self/fd"))
    for power in range(20):
        worker.collate(power, numbers=512 << power % 10)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_free_piece_gives_its_memory_back_and_one_in_use_does_not(worker):
    kept = worker.pass_on(7)
    address = worker.pass_on(8).data_ptr()
    worker.memory.clear()
    assert is_full_of(kept, 7)
    with worker.memory.collating():
        storage = worker.memory.allocate(NUMBERS * 8)
    assert is_full_of(torch.empty(0, dtype=torch.int64).set_(storage), 0)  # not 8
    worker.send(torch.empty(0, dtype=torch.int64).set_(storage).fill_(9))
    del storage
    batch = worker.receive()
    assert is_full_of(batch, 9)
    assert batch.data_ptr() == address


def test_what_the_worker_looks_at_is_not_given_back_whether_it_was_sent_or_not(worker):
    sent, unsent = worker.collate(1), worker.collate(2)
    worker.send(sent)
    worker.receive()
    worker.memory.clear()
    assert is_full_of(sent, 1)
    assert is_full_of(unsent, 2)


def test_what_the_caller_passes_on_to_another_process_is_not_written_again(worker):
    batch = worker.pass_on(1)
    passed_on = bytes(ForkingPickler.dumps(batch))
    assert batch.is_shared()  # torch has copied it
    del batch
    assert all(is_full_of(worker.pass_on(value), value) for value in (2, 3))
    assert is_full_of(ForkingPickler.loads(passed_on), 1)


def test_a_batch_that_cannot_be_sent_this_way_arrives_and_its_memory_is_not_written_again(worker, monkeypatch):
    def full(*args):
        raise BlockingIOError(11, "full")

    batch = worker.collate(1)
    with monkeypatch.context() as patch:
        patch.setattr(socket, "send_fds", full)
        worker.send(batch)
    del batch
    first = worker.receive()
    assert all(is_full_of(worker.pass_on(value), value) for value in (2, 3))
    assert is_full_of(first, 1)


def test_a_batch_that_cannot_be_pickled_costs_no_memory_that_others_use(worker, office):
    for value in range(20):
        worker.send((worker.collate(value), lambda: None))
        with pytest.raises(RuntimeError, match="cannot be sent to the main process"):
            worker.receive().reraise()
    assert not worker.pass_on(1).is_shared()
    assert len(office.memory.pieces()) == 1


def test_a_batch_that_cannot_be_pickled_costs_no_memory_of_the_batches_before(worker):
    address = worker.pass_on(1).data_ptr()
    first = worker.pass_on(2)
    worker.send((worker.collate(3), lambda: None))
    worker.receive()
    del first
    assert worker.pass_on(4).data_ptr() == address


def test_a_letter_without_descriptors_that_comes_after_the_end_is_no_message(worker, office):
    worker.pass_on(1)
    worker.send(worker.collate(2))
    office.close()  # a thread that pins may still read then
    with pytest.raises(queue.Empty):
        worker.receive()


def test_what_the_caller_keeps_outlives_the_loader(worker, office):
    batch = worker.pass_on(1)
    office.close()
    assert not office.memory.pieces()
    gc.collect()
    assert is_full_of(batch, 1)


def test_nothing_is_taken_outside_of_collation_or_where_torch_is_to_share_by_name(worker, monkeypatch):
    assert worker.memory.allocate(100) is None
    with worker.memory.collating():
        assert worker.memory.allocate(0) is None
        assert worker.memory.allocate(100) is not None
        monkeypatch.setattr(torch.multiprocessing, "get_sharing_strategy", lambda: "file_system")
        assert worker.memory.allocate(100) is None
        monkeypatch.undo()
    assert worker.memory.allocate(100) is None


def test_a_system_that_gives_no_memory_leaves_it_to_torch(worker, monkeypatch):
    def refuse(*args):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "memfd_create", refuse)
    batch = worker.pass_on(1)
    assert is_full_of(batch, 1)
    assert batch.is_shared()
