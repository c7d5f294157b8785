from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from concurrent_dataloader.storage.bounded_map import bounded_map


def test_results_come_in_the_order_of_the_items_however_the_calls_end() -> None:
    first_may_end = threading.Event()

    def call(item: int) -> int:
        if item == 0:
            assert first_may_end.wait(30)
        elif item == 1:
            first_may_end.set()
        return item * item

    assert list(bounded_map(call, range(50), 2)) == [item * item for item in range(50)]


def test_as_many_calls_run_at_once_as_there_are_threads() -> None:
    together = threading.Barrier(5)

    def call(item: int) -> int:
        together.wait(30)
        return item

    assert list(bounded_map(call, range(10), 5)) == list(range(10))


def test_items_are_taken_only_as_far_ahead_as_four_a_thread() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(1000):
            taken.append(item)
            yield item

    results = bounded_map(lambda item: item, items(), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    assert len(taken) == 8 + 2
    results.close()  # type: ignore[attr-defined]


def test_an_error_of_a_call_is_raised_and_the_calls_that_have_not_begun_are_dropped() -> None:
    begun: list[int] = []
    go_on = threading.Event()

    def call(item: int) -> None:
        begun.append(item)
        if item == 0:
            go_on.set()
            raise ValueError("item 0")
        assert go_on.wait(30)

    with pytest.raises(ValueError, match="item 0"):
        list(bounded_map(call, range(1000), 1))
    assert len(begun) <= 4


def test_no_thread_is_left_when_it_is_closed_early() -> None:
    results = bounded_map(lambda item: item, range(1000), 3)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("bounded-map")]
