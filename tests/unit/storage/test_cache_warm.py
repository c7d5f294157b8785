from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from counting_store import HEADER, CountingStore, cached, entry_files, entry_of, raise_error

from concurrent_dataloader._base.errors import OptionError
from concurrent_dataloader.storage import cache_disk, cache_warm
from concurrent_dataloader.storage.cache import cache_stats
from concurrent_dataloader.storage.cache_warm import warm_cache

OBJECTS = {f"k{number}": bytes(1000) for number in range(40)}
ENTRY_BYTES = 1000 + HEADER


def test_every_object_is_in_the_cache_afterwards_and_is_not_asked_for_again(folder: Path) -> None:
    inner = CountingStore(OBJECTS)
    store, done = cached(inner, folder), []
    report = warm_cache(store, list(OBJECTS), threads=4, on_progress=done.append)
    assert (report.keys, report.present, report.fetched, report.missing) == (40, 0, 40, 0)
    assert report.fetched_bytes == 40_000
    assert sum(done) == 40
    asked = inner.asked["get"]
    assert all(store.get(key) == OBJECTS[key] for key in OBJECTS)
    assert inner.asked["get"] == asked == 40


def test_objects_are_fetched_as_many_at_once_as_there_are_threads(folder: Path) -> None:
    together = threading.Barrier(4)

    class WaitingStore(CountingStore):
        def get(self, key: str) -> bytes:
            together.wait(30)
            return super().get(key)

    assert warm_cache(cached(WaitingStore(OBJECTS), folder), list(OBJECTS), threads=4).fetched == 40


def test_what_an_interrupted_run_has_fetched_is_not_fetched_again(folder: Path) -> None:
    class InterruptedStore(CountingStore):
        def get(self, key: str) -> bytes:
            if self.asked["get"] == 15:
                raise KeyboardInterrupt
            return super().get(key)

    with pytest.raises(KeyboardInterrupt):
        warm_cache(cached(InterruptedStore(OBJECTS), folder), list(OBJECTS), threads=1)
    inner = CountingStore(OBJECTS)
    report = warm_cache(cached(inner, folder), list(OBJECTS), threads=3)
    assert (report.present, report.fetched, report.missing) == (15, 25, 0)
    assert inner.asked["get"] == 25


def test_a_key_that_is_listed_twice_is_fetched_once(folder: Path) -> None:
    inner = CountingStore({"a": b"alpha"})
    report = warm_cache(cached(inner, folder), ["a", "a", "a"], threads=1)
    assert (inner.asked["get"], report.fetched, report.missing) == (1, 1, 0)


def test_when_the_objects_fill_the_bound_the_rest_is_left_out_and_counted(folder: Path) -> None:
    inner = CountingStore(OBJECTS)
    store = cached(inner, folder, 25 * ENTRY_BYTES)
    report = warm_cache(store, list(OBJECTS), threads=1)
    assert (report.fetched, report.missing, report.full) == (25, 15, True)
    assert inner.asked["get"] <= 25 + 4  # what was under way; not the whole rest
    assert [key for key in OBJECTS if entry_of(folder, key).exists()] == [f"k{number}" for number in range(25)]


def test_objects_of_others_make_room_and_those_that_are_there_do_not(folder: Path) -> None:
    others = cached(CountingStore(OBJECTS, "fake://others"), folder, 30 * ENTRY_BYTES)
    mine = cached(CountingStore(OBJECTS), folder, 30 * ENTRY_BYTES)
    for number in range(10):
        mine.get(f"k{number}")
    warm_cache(others, [f"k{number}" for number in range(20)], threads=1)
    report = warm_cache(mine, [f"k{number}" for number in range(26)], threads=1)
    assert (report.present, report.fetched, report.missing, report.full) == (10, 16, 0, False)


def test_an_object_larger_than_the_bound_is_left_out_alone(folder: Path) -> None:
    store = cached(CountingStore({"large": bytes(9000), "a": b"a", "b": b"b"}), folder, 5000)
    report = warm_cache(store, ["large", "a", "b"], threads=1)
    assert (report.fetched, report.missing, report.full) == (2, 1, False)


def test_a_missing_object_is_reported_and_does_not_stop_the_others(folder: Path) -> None:
    report = warm_cache(cached(CountingStore({"a": b"a", "c": b"c"}), folder), ["a", "gone", "c"], threads=2)
    assert (report.fetched, report.failed, report.missing, report.gave_up) == (2, 1, 1, False)
    assert "gone" in report.failures[0]


def test_a_store_that_delivers_nothing_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_warm, "_MAX_FAILURES", 10)
    keys = [f"gone{number}" for number in range(1000)]
    report = warm_cache(cached(CountingStore(), folder), keys, threads=2)
    assert report.gave_up
    assert 10 <= report.failed < 30
    assert report.missing == 1000
    assert len(report.failures) == 5


def test_a_full_disk_ends_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = CountingStore(OBJECTS)
    store = cached(inner, folder)
    store.get("k0")
    monkeypatch.setattr(cache_disk, "write_incoming", raise_error(errno.ENOSPC))
    report = warm_cache(store, list(OBJECTS), threads=1)
    assert (report.present, report.fetched, report.missing, report.refused) == (1, 0, 39, True)
    assert inner.asked["get"] < 10


def test_other_errors_than_those_of_the_store_are_not_swallowed(folder: Path) -> None:
    class BrokenStore(CountingStore):
        def get(self, key: str) -> bytes:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        warm_cache(cached(BrokenStore(), folder), ["a"])


@pytest.mark.parametrize("threads", [0, -1, 1.5, True])
def test_a_number_of_threads_that_is_none_is_refused(folder: Path, threads: object) -> None:
    with pytest.raises(OptionError, match="threads"):
        warm_cache(cached(CountingStore(), folder), [], threads=threads)  # type: ignore[arg-type]


def test_a_damaged_entry_counts_as_there_and_is_mended_when_it_is_read(folder: Path) -> None:
    store = cached(CountingStore({"a": b"alpha"}), folder)
    warm_cache(store, ["a"])
    os.truncate(entry_of(folder, "a"), 3)
    assert warm_cache(store, ["a"]).present == 1
    assert store.get("a") == b"alpha"
    assert cache_stats(folder).size_bytes == 5 + HEADER
    assert len(entry_files(folder)) == 1
