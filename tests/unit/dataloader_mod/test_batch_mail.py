"""Batches between a worker and the main process, both of which are this process here."""

import multiprocessing
import os
import pickle
import queue
import select
import socket
import threading
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch

from concurrent_dataloader import DataLoader
from concurrent_dataloader.dataloader_mod import post_office
from concurrent_dataloader.dataloader_mod.batch_mail import MailedQueue
from concurrent_dataloader.dataloader_mod.batch_memory import BatchMemory
from concurrent_dataloader.dataloader_mod.post_office import PostOffice


class Pipe:
    """A queue that pickles, as multiprocessing's does, and keeps what was put."""

    def __init__(self):
        self.put_objects, self.pickled = [], []

    def put(self, message):
        self.put_objects.append(message)
        self.pickled.append(bytes(ForkingPickler.dumps(message)))

    def get(self):
        return ForkingPickler.loads(self.pickled.pop(0))


@pytest.fixture
def pipe():
    return Pipe()


@pytest.fixture
def office():
    office = PostOffice()
    yield office
    office.close()


@pytest.fixture
def boxes(office):
    """Those of two workers, with copies of their own of the sockets."""
    opened = (office.open_box() for _ in range(2))
    boxes = [replace(box, end=box.end.dup()) for box in opened]
    office.close_box()
    yield boxes
    for box in boxes:
        box.end.close()


@pytest.fixture
def worker(pipe, boxes):
    return MailedQueue(pipe, boxes[0], BatchMemory(), "in worker 0")


def open_descriptors():
    return set(os.listdir("/proc/self/fd"))


def test_a_batch_comes_as_it_was_sent_and_leaves_no_descriptor(worker, pipe):
    batch = {"x": torch.arange(6.0).reshape(2, 3), "empty": torch.zeros(0), "text": ["a", "b"], "array": np.arange(3)}
    before = open_descriptors()
    worker.put((7, batch))
    number, came = pipe.get()
    assert number == 7
    assert torch.equal(came["x"], batch["x"])
    assert came["x"].is_shared()
    assert came["empty"].shape == (0,)
    assert came["text"] == ["a", "b"]
    assert came["array"].tolist() == [0, 1, 2]
    del batch, came
    assert open_descriptors() == before


def test_views_of_one_memory_are_views_of_one_memory_again(worker, pipe):
    whole = torch.arange(10)
    worker.put((0, [whole, whole[5:]]))
    _, (whole, half) = pipe.get()
    whole[5] = 100
    assert half[0] == 100


def test_more_tensors_than_a_message_takes_all_come(worker, pipe):
    worker.put((0, [torch.tensor([n]) for n in range(600)]))
    assert [int(each) for each in pipe.get()[1]] == list(range(600))


def test_what_a_pipe_does_not_take_at_once_goes_in_memory(worker, pipe):
    array = np.random.default_rng(0).integers(0, 256, 10_000_000, np.uint8)
    worker.put((0, [array, torch.ones(3)]))
    assert len(pipe.pickled[0]) < 1000
    _, (came, ones) = pipe.get()
    assert np.array_equal(came, array)
    assert came.flags.writeable
    assert ones.tolist() == [1, 1, 1]


@pytest.mark.parametrize("size_bytes", [3000, 3500, 3584, 3600, 4000, 17_000, 60_000])
def test_no_message_is_more_than_a_pipe_takes_whole_or_not_at_all(worker, pipe, size_bytes):
    worker.put((0, "x" * size_bytes))
    assert 4 + len(pipe.pickled[0]) <= select.PIPE_BUF  # with the length that goes before it
    assert pipe.get() == (0, "x" * size_bytes)


def test_letters_of_two_workers_are_told_apart(worker, pipe, boxes):
    other = MailedQueue(pipe, boxes[1], BatchMemory(), "in worker 1")
    for number in range(5):
        worker.put((number, torch.full((2,), number)))
        other.put((number, torch.full((2,), -number)))
    for number in range(5):
        assert pipe.get()[1].tolist() == [number, number]
        assert pipe.get()[1].tolist() == [-number, -number]


def test_a_batch_comes_though_its_worker_is_gone(worker, pipe, boxes):
    worker.put((0, torch.ones(2)))
    boxes[0].end.close()
    assert pipe.get()[1].tolist() == [1, 1]


def test_where_the_socket_is_full_a_batch_goes_multiprocessings_way(worker, pipe, monkeypatch):
    full = []

    def send_fds(*args):
        full.append(args)
        raise BlockingIOError("full")

    before = open_descriptors()
    message = (1, np.ones(100_000))
    with monkeypatch.context() as patch:
        patch.setattr(socket, "send_fds", send_fds)
        worker.put(message)
    assert full
    assert pipe.put_objects == [message]
    assert open_descriptors() == before


def test_nothing_is_put_where_the_main_process_has_closed_its_end(worker, pipe, office):
    before = open_descriptors()
    office.close()
    worker.put((0, torch.ones(2)))
    assert not isinstance(pipe.put_objects[0], tuple)  # multiprocessing's way would begin with a folder
    assert len(open_descriptors()) == len(before) - 2  # the office's ends


def test_a_batch_that_cannot_be_pickled_is_answered_with_that_error(worker, pipe):
    before = open_descriptors()
    worker.put((3, [torch.ones(2), threading.Lock()]))
    number, answer = pipe.get()
    with pytest.raises(RuntimeError, match=r"in worker 0\.\n(.|\n)*cannot be sent to the main process: TypeError"):
        answer.reraise()
    assert (number, open_descriptors()) == (3, before)


class Unreadable:
    def __reduce__(self):
        return int, ("no number",)


def test_what_cannot_be_unpickled_leaves_no_descriptor(worker, pipe):
    before = open_descriptors()
    worker.put((0, [Unreadable(), torch.ones(2)]))
    with pytest.raises(ValueError, match="no number"):
        pipe.get()
    worker.put((1, torch.ones(2)))
    assert pipe.get()[1].tolist() == [1, 1]
    assert open_descriptors() == before


class PicklesByItself:
    def __init__(self, tensor):
        self.tensor = tensor

    def __reduce__(self):
        return bytes, (bytes(ForkingPickler.dumps(self.tensor)),)


def test_what_an_object_pickles_by_itself_can_be_read_after_the_batch(worker, pipe):
    worker.put((0, [torch.ones(2), PicklesByItself(torch.arange(3)), torch.zeros(2)]))
    _, (ones, pickled, zeros) = pipe.get()
    assert ones.tolist() == [1, 1]
    assert pickle.loads(pickled).tolist() == [0, 1, 2]
    assert zeros.tolist() == [0, 0]
    multiprocessing.resource_sharer.stop(timeout=10)


SPAWN = multiprocessing.get_context("spawn")


@pytest.mark.parametrize(
    ("make", "refusal"),
    [
        (lambda: multiprocessing.current_process().authkey, "Pickling an AuthenticationString"),
        (SPAWN.Lock, "Lock objects should only be shared"),
        (SPAWN.Queue, "Queue objects should only be shared"),
        (lambda: SPAWN.Value("i", 1), "Synchronized objects should only be shared"),
    ],
)
def test_what_multiprocessing_keeps_out_of_messages_is_kept_out_of_batches(worker, pipe, make, refusal):
    worker.put((0, [torch.ones(2), make()]))
    with pytest.raises(RuntimeError, match=f"cannot be sent to the main process: .*{refusal}"):
        pipe.get()[1].reraise()


class ReadsAnother:
    """Reads another batch when it is unpickled, as a loader within a sample does."""

    pipe = None

    def __reduce__(self):
        return read_another, ()


def read_another():
    return ReadsAnother.pipe.get()[1]


def test_a_batch_whose_reading_reads_another_comes_whole(worker, boxes, pipe, monkeypatch):
    inner = Pipe()
    monkeypatch.setattr(ReadsAnother, "pipe", inner)
    MailedQueue(inner, boxes[1], BatchMemory(), "in worker 1").put((0, torch.zeros(1)))
    before = open_descriptors()
    worker.put((0, [ReadsAnother(), torch.ones(2)]))
    came = pipe.get()[1]
    assert [each.tolist() for each in came] == [[0], [1, 1]]
    del came
    assert open_descriptors() == before


def test_who_still_reads_when_the_office_is_closed_is_told_of_no_message(worker, pipe, office, monkeypatch):
    collect = PostOffice.collect
    monkeypatch.setattr(PostOffice, "collect", lambda self, *letter: (self.close(), collect(self, *letter)))
    for number in range(2):
        worker.put((number, torch.ones(2)))
    for _ in range(2):  # it is closed amid the first
        with pytest.raises(queue.Empty):
            pipe.get()


def test_a_body_that_finds_no_memory_leaves_no_descriptor(worker, pipe, monkeypatch):
    before, message = open_descriptors(), (0, np.ones(100_000))
    with monkeypatch.context() as patch:
        patch.setattr(os, "memfd_create", lambda name: os.open("/dev/full", os.O_WRONLY))
        worker.put(message)
    assert pipe.put_objects == [message]
    assert open_descriptors() == before


class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 20

    def __getitem__(self, index):
        return index


@pytest.mark.parametrize("boxes", ["all", "none", "a few"])
def test_a_loader_reads_all_with_and_without_such_sockets(monkeypatch, boxes):
    pair, left = socket.socketpair, {"all": 100, "none": 0, "a few": 2}

    def socketpair(*args):
        left[boxes] -= 1
        if left[boxes] < 0:
            raise OSError("no such sockets")
        return pair(*args)

    monkeypatch.setattr(socket, "socketpair", socketpair)
    batches = iter(DataLoader(Numbers(), 2, num_workers=3, num_fetch_workers=2))
    assert torch.cat(list(batches)).tolist() == list(range(20))
    assert not post_office._offices
