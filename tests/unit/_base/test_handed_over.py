"""Arguments that go to a new process past multiprocessing's pipe."""

from __future__ import annotations

import multiprocessing
import os
import pickle

import pytest

from concurrent_dataloader._base.handed_over import _HandedOver, make_process

METHODS = multiprocessing.get_all_start_methods()
MORE_THAN_A_PIPE_HOLDS = 1 << 20


class WaitsToBeUnpickled:
    """Unpickles only once the event is set: so does a worker that still imports torch."""

    def __init__(self, event):
        self.event = event

    def __reduce__(self):
        return _wait_and_build, (self.event,)


def _wait_and_build(event):
    assert event.wait(60)
    return WaitsToBeUnpickled(event)


def answer(connection, first, second, body):
    connection.send((first is second, len(body), os.getpid()))


def answer_late(connection, _waits, body):
    connection.send(len(body))


@pytest.mark.parametrize("method", METHODS)
def test_the_arguments_arrive_and_what_is_shared_between_them_stays_shared(method):
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    shared = ["one"]
    process = make_process(context, answer, (theirs, shared, shared, bytes(MORE_THAN_A_PIPE_HOLDS)), daemon=True)
    process.start()
    assert ours.poll(60)
    assert ours.recv() == (True, MORE_THAN_A_PIPE_HOLDS, process.pid)
    process.join(60)
    assert process.exitcode == 0


@pytest.mark.parametrize("method", [method for method in METHODS if method != "fork"])
@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs files without a name")
def test_the_start_returns_before_the_child_has_read_its_arguments(method):
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    event = context.Event()
    args = (theirs, WaitsToBeUnpickled(event), bytes(MORE_THAN_A_PIPE_HOLDS))
    process = make_process(context, answer_late, args, daemon=True)
    process.start()  # with the arguments in the pipe this would not return before the event is set
    event.set()
    assert ours.poll(60)
    assert ours.recv() == MORE_THAN_A_PIPE_HOLDS
    process.join(60)


def test_no_descriptor_is_left_in_the_parent():
    context = multiprocessing.get_context("spawn")
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        ours, theirs = context.Pipe()
        process = make_process(context, answer, (theirs, 1, 1, b"x"), daemon=True)
        process.start()
        theirs.close()
        process.join(60)
        process.close()
        ours.close()
        del process
    names = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    assert not [name for name in names if "worker-arguments" in name]
    assert len(names) <= descriptors + 2  # the resource tracker's pipe, from the first spawn on


def test_arguments_that_cannot_be_pickled_fail_as_with_multiprocessing_itself():
    process = make_process(multiprocessing.get_context("spawn"), lambda: None, ())
    with pytest.raises((AttributeError, pickle.PicklingError), match="pickle"):
        process.start()


def test_outside_of_a_start_it_is_pickled_by_value():
    copy = pickle.loads(pickle.dumps(_HandedOver(answer, (1, 2))))
    assert (copy.target, copy.args) == (answer, (1, 2))
