"""What a worker's intake does with torch's messages and with batches that are held."""

from __future__ import annotations

import queue
from unittest.mock import Mock

import pytest

from concurrent_dataloader._base.held_batches import Held
from concurrent_dataloader.dataloader_mod import worker as worker_module
from concurrent_dataloader.dataloader_mod.worker import _Worker


class Engine:
    """Takes note of what is asked for and given up; a batch is its request."""

    def __init__(self):
        self.requested, self.released, self.closed = [], [], False

    def request(self, request):
        self.requested.append(request)
        return request

    def release(self, batch):
        self.released.append(batch)

    def close(self):
        self.closed = True


def take_in(*messages):
    """Returns what the intake hands on, and the engine."""
    incoming, engine = queue.SimpleQueue(), Engine()
    for message in (*messages, None):
        incoming.put(message)
    worker = _Worker(None, None, incoming, None, None, None)
    worker._take_in(engine)
    handed_on = []
    while not worker._messages.empty():
        handed_on.append(worker._messages.get())
    assert engine.closed
    return handed_on, engine


def test_a_held_batch_is_fetched_at_once_and_handed_on_when_its_number_comes():
    handed_on, engine = take_in((0, "a"), (1, Held("b")), (2, Held("c")), 1, 2)
    assert engine.requested == ["a", "b", "c"]
    assert handed_on == [(0, "a"), (1, "b"), (2, "c"), None]
    assert engine.released == []


def test_a_number_that_comes_again_hands_nothing_on_a_second_time():
    assert take_in((1, Held("b")), 1, 1)[0] == [(1, "b"), None]


def test_a_new_epoch_gives_up_what_is_still_held():
    handed_on, engine = take_in((0, Held("a")), (1, Held("b")), (2, Held("c")), 0, "a new epoch", (0, "d"))
    assert handed_on == [(0, "a"), "a new epoch", (0, "d"), None]
    assert sorted(engine.released) == ["b", "c"]


def test_a_worker_with_nothing_to_do_gives_its_memory_back(monkeypatch):
    parent, memory, give_back = Mock(), Mock(), Mock()
    monkeypatch.setattr(worker_module, "give_back_freed_memory", give_back)
    worker = _Worker(None, None, None, None, parent, memory)
    worker._engine = Engine()
    worker._messages.put("a new epoch")
    assert worker.get(timeout=0.01) == "a new epoch"
    give_back.assert_not_called()
    with pytest.raises(queue.Empty):
        worker.get(timeout=0.01)
    memory.clear.assert_called_once()
    give_back.assert_called_once()
