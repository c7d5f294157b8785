from __future__ import annotations

import pytest
from engine_parts import take

from concurrent_dataloader.dataloader_mod.pending import FetchCancelled
from concurrent_dataloader.dataloader_mod.plan import FetchPlan
from concurrent_dataloader.dataloader_mod.window import BatchWindow


class Pool:
    """Keeps what is submitted and answers nothing by itself."""

    def __init__(self):
        self.submitted = []

    def submit(self, fetches):
        self.submitted += fetches

    def close(self):
        pass

    @property
    def indices(self):
        return [fetch.index for fetch in self.submitted]


@pytest.fixture
def pool():
    return Pool()


def window(pool, size, *, per_batch=False, auto_collation=True):
    return BatchWindow(FetchPlan(lambda index: index, per_batch=per_batch), pool, size, auto_collation=auto_collation)


def test_no_more_batches_than_its_size_are_started_and_the_oldest_first(pool):
    added = window(pool, 2)
    for request in ([1, 2], [3], [4, 5]):
        added.add(request)
    assert pool.indices == [1, 2, 3]


def test_a_released_batch_makes_room_for_the_oldest_that_waits_whichever_it_was(pool):
    batches = window(pool, 2)
    _, second, _, _ = (batches.add([number]) for number in range(4))
    batches.release(second)
    assert pool.indices == [0, 1, 2]
    batches.release(second)
    assert pool.indices == [0, 1, 2]


def test_two_batches_of_the_same_indices_are_two_batches(pool):
    batches = window(pool, 3)
    one, other = batches.add([7, 7]), batches.add([7, 7])
    assert pool.indices == [7, 7, 7, 7]
    batches.release(one)
    assert not any(fetch.is_claimed for fetch in other.fetches)


def test_a_batch_that_is_waited_for_starts_although_there_is_no_room_and_only_once(pool):
    batches = window(pool, 1)
    lost, waited_for = batches.add([0]), batches.add([1])
    batches.start(waited_for)
    batches.start(waited_for)
    assert pool.indices == [0, 1]
    batches.release(waited_for)
    batches.release(lost)
    assert pool.indices == [0, 1]


def test_a_released_batch_gives_up_what_is_out(pool):
    batches = window(pool, 1)
    batch = batches.add([1])
    batches.release(batch)
    with pytest.raises(FetchCancelled):
        take(batch.fetches[0])


def test_closing_answers_every_fetch_of_batches_in_flight_waiting_and_to_come(pool):
    batches = window(pool, 1)
    added = [batches.add([1, 2]), batches.add([3])]
    batches.close()
    batches.close()
    added.append(batches.add([4]))
    for batch in added:
        for fetch in batch.fetches:
            with pytest.raises(FetchCancelled):
                take(fetch)
    assert [len(batch.fetches) for batch in added] == [2, 1, 1]
    assert pool.indices == [1, 2]


class Breaks:
    def __init__(self, error):
        self.error = error

    def __iter__(self):
        raise self.error


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit("bad")], ids=repr)
def test_a_request_that_cannot_be_read_is_its_batchs_error_and_stops_no_other(pool, error):
    batches = window(pool, 2)
    assert batches.add(Breaks(error)).error is error
    assert batches.add([1]).error is None
    assert pool.indices == [1]


def test_one_call_answers_a_batch_where_the_plan_says_so(pool):
    window(pool, 1, per_batch=True).add([1, 2])
    assert pool.indices == [[1, 2]]


def test_without_batching_a_request_is_one_index_even_if_it_is_a_list(pool):
    window(pool, 1, auto_collation=False).add([1, 2])
    assert pool.indices == [[1, 2]]
