"""The pairs of sockets by which descriptors come from the workers."""

import os
import resource
import socket
from dataclasses import replace

import pytest

from concurrent_dataloader.dataloader_mod.post_office import PostOffice


def open_descriptors():
    return set(os.listdir("/proc/self/fd"))


@pytest.fixture
def office():
    office = PostOffice()
    yield office
    office.close_box()
    office.close()


def test_a_box_closes_the_one_before_whose_worker_has_its_own(office):
    first = office.open_box()
    second = office.open_box()
    assert first.end.fileno() == -1
    second.send(0, [0])
    assert (first.place, second.place) == (0, 1)
    os.close(office.collect(1, 0, 1)[0])
    office.close_box()
    assert second.end.fileno() == -1


def test_a_system_without_such_sockets_has_no_boxes(office, monkeypatch):
    monkeypatch.delattr(socket, "AF_UNIX")  # as on Windows
    assert office.open_box() is None


def test_more_descriptors_than_a_message_takes_come_in_their_order(office):
    box = office.open_box()
    read, write = os.pipe()
    box.send(3, [read, write] * 300)
    collected = office.collect(0, 3, 600)
    assert [os.fstat(each).st_ino for each in collected.values()] == [os.fstat(read).st_ino] * 600
    os.write(collected[599], b"x")
    assert os.read(collected[0], 1) == b"x"
    for each in [*collected.values(), read, write]:
        os.close(each)


def test_what_was_sent_of_a_letter_that_went_another_way_is_dropped(office):
    box = office.open_box()
    before = open_descriptors()
    box.send(0, [0, 1, 2])
    box.send(1, [0])
    os.close(office.collect(0, 1, 1)[0])
    assert open_descriptors() == before


def test_too_many_open_files_are_told_as_that(office):
    office.open_box().send(0, [0] * 50)
    before = open_descriptors()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = [number for number in range(len(before) + 20) if str(number) not in before]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[10], hard))  # ten more, as new ones take the lowest number
    try:
        with pytest.raises(OSError, match="Too many open files: no room for the 50 tensors of a batch"):
            office.collect(0, 0, 50)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert open_descriptors() == before


def test_descriptors_that_somebody_else_has_taken_are_not_waited_for_for_ever(office):
    office.open_box().send(1, [0])  # not 0, which would be taken for the end of the socket
    office.close_box()
    with office._ends[0].dup() as other:  # as a process that is forked without multiprocessing has it
        os.close(socket.recv_fds(other, 8, 1)[1][0])
    with pytest.raises(ConnectionResetError, match="another process has received the tensors"):
        office.collect(0, 1, 1)


def test_a_full_box_refuses_and_does_not_wait(office):
    with pytest.raises(BlockingIOError):
        office.open_box().send(0, [0] * 10_000_000)


def test_a_box_whose_worker_has_started_is_still_one_for_who_has_a_copy(office):
    box = office.open_box()
    copy = replace(box, end=box.end.dup())
    office.close_box()
    copy.send(0, [0])
    os.close(office.collect(0, 0, 1)[0])
    copy.end.close()
