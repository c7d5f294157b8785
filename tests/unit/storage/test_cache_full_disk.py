"""The cache on a disk that is really full: a tmpfs of a few pages, where this process may mount one."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from counting_store import CountingStore, cached, entry_files

from concurrent_dataloader.storage import cache_disk
from concurrent_dataloader.storage.cache import cache_stats
from concurrent_dataloader.storage.cache_folder import INCOMING_NAME
from concurrent_dataloader.storage.cache_warm import warm_cache

OBJECTS = {str(number): bytes([number]) * 10_000 for number in range(60)}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 256 KiB: some twenty of the objects."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_it_goes_on_without_the_cache_says_so_once_and_still_reads_what_it_keeps(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inner = CountingStore(OBJECTS)
    store = cached(inner, small_disk / "cache", 10_000_000)
    for _ in range(2):
        for key, body in OBJECTS.items():
            assert store.get(key) == body
    kept = cache_stats(small_disk / "cache").entries
    assert 10 < kept < 26
    assert inner.asked["get"] == 60 + (60 - kept)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "the disk is full" in caplog.text
    assert not (small_disk / "cache" / INCOMING_NAME).exists()


def test_a_disk_that_is_full_from_the_start_is_gone_without(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(OSError, match="No space"):
        (small_disk / "others").write_bytes(bytes(1_000_000))
    store = cached(CountingStore(OBJECTS), small_disk / "cache", 10_000_000)
    assert [store.get(key) for key in OBJECTS] == list(OBJECTS.values())
    assert len(caplog.records) == 1


def test_it_keeps_objects_again_once_there_is_room(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_disk, "_RETRY_S", 0.0)
    (small_disk / "others").write_bytes(bytes(200_000))
    store = cached(CountingStore(OBJECTS), small_disk / "cache", 10_000_000)
    for key in OBJECTS:
        store.get(key)
    before = cache_stats(small_disk / "cache").entries
    (small_disk / "others").unlink()
    for key in OBJECTS:
        store.get(key)
    assert cache_stats(small_disk / "cache").entries > before + 10


def test_warming_ends_at_the_first_object_that_the_disk_refuses(small_disk: Path) -> None:
    inner = CountingStore(OBJECTS)
    report = warm_cache(cached(inner, small_disk / "cache", 10_000_000), list(OBJECTS), threads=1)
    assert report.refused
    assert report.fetched == len(entry_files(small_disk / "cache"))
    assert report.missing == 60 - report.fetched
    assert inner.asked["get"] < 60
