"""When a reading marks an entry as used: always, once room may be needed; seldom, while there is plenty."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from counting_store import HEADER, CountingStore, DerivedStore, cached, entry_of

from concurrent_dataloader.storage import cache_disk
from concurrent_dataloader.storage.cache_folder import LEDGER_NAME

MINUTE_NS = 60 * 10**9
OBJECTS = {key: bytes(1000) for key in "abcd"}


def age(folder: Path, key: str, age_ns: int) -> int:
    """Marks an entry as used so long ago; returns the mark."""
    mark_ns = time.time_ns() - age_ns
    os.utime(entry_of(folder, key), ns=(mark_ns, mark_ns))
    return entry_of(folder, key).stat().st_mtime_ns


def mark_of(folder: Path, key: str) -> int:
    return entry_of(folder, key).stat().st_mtime_ns


def test_with_plenty_of_room_a_young_mark_is_left_and_an_old_one_renewed(folder: Path) -> None:
    store = cached(CountingStore(OBJECTS), folder, 8 * (1000 + HEADER))
    for key in OBJECTS:  # half full
        store.get(key)
    young, old, future = age(folder, "a", MINUTE_NS), age(folder, "b", 61 * MINUTE_NS), age(folder, "c", -MINUTE_NS)
    for key in "abc":
        store.get(key)
    assert mark_of(folder, "a") == young
    assert mark_of(folder, "b") > old
    assert mark_of(folder, "c") < future


def test_above_half_every_reading_marks(folder: Path) -> None:
    store = cached(CountingStore(OBJECTS), folder, 8 * (1000 + HEADER) - 1)
    for key in OBJECTS:
        store.get(key)
    young = age(folder, "a", MINUTE_NS)
    store.get("a")
    assert mark_of(folder, "a") > young


def test_that_another_process_fills_the_cache_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_disk, "_LOOK_S", 0.0)
    store = cached(CountingStore(OBJECTS), folder, 20_000)
    store.get("a")
    young = age(folder, "a", MINUTE_NS)
    store.get("a")
    assert mark_of(folder, "a") == young
    other = cached(DerivedStore(root="fake://other"), folder, 20_000)
    for number in range(6):
        other.get(str(number))
    store.get("a")
    assert mark_of(folder, "a") > young


def test_where_the_ledger_cannot_be_read_every_reading_marks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_disk, "_LOOK_S", 0.0)
    store = cached(CountingStore(OBJECTS), folder)
    store.get("a")
    (folder / LEDGER_NAME).write_bytes(b"half a record")
    young = age(folder, "a", MINUTE_NS)
    store.get("a")
    assert mark_of(folder, "a") > young
