"""Pages that wait for their turn, in memory and on disk."""

from __future__ import annotations

import os
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from full_disk import full_disk

from concurrent_dataloader.dataset import sorted_runs
from concurrent_dataloader.dataset.page_spool import PageSpool
from concurrent_dataloader.dataset.sorted_runs import in_order
from concurrent_dataloader.storage import ObjectInfo

PAGE = [ObjectInfo("a\nb", 0), ObjectInfo("ü😀", 2**40), ObjectInfo("no-utf8-\udcff", -1)]


@pytest.mark.parametrize("max_memory_bytes", [10**6, 0])
def test_pages_come_back_as_they_were_from_memory_and_from_disk(max_memory_bytes: int) -> None:
    spool = PageSpool(max_memory_bytes)
    tickets = [spool.put(PAGE), spool.put(PAGE[:1]), spool.put(PAGE[1:])]
    assert spool.take(tickets[1]) == PAGE[:1]
    assert spool.take(tickets[0]) == PAGE
    assert spool.take(tickets[2]) == PAGE[1:]
    spool.close()


def test_memory_is_bounded_and_given_back() -> None:
    spool = PageSpool(300)
    tickets = [spool.put(PAGE) for _ in range(50)]
    assert 0 < spool.memory_bytes <= 300
    for ticket in tickets:
        assert spool.take(ticket) == PAGE
    assert spool.memory_bytes == 0
    spool.close()


def test_the_file_on_disk_has_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spool = PageSpool(0)
    spool.put(PAGE)
    assert os.listdir(tmp_path) == []
    spool.close()


def test_runs_are_sorted_and_merged_and_a_key_comes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorted_runs, "_PAGE", 3)
    numbers = [at * 37 % 101 for at in range(101)]
    objects = [ObjectInfo(f"{number:03d}", number) for number in [*numbers, 5, 100]]
    assert list(in_order(objects, run=10)) == [ObjectInfo(f"{number:03d}", number) for number in range(101)]


def test_a_full_disk_is_told_with_the_name_of_its_folder() -> None:
    named = f"File too large: '{tempfile.gettempdir()}'"
    with full_disk(), pytest.raises(OSError, match=named), closing(PageSpool(0)) as spool:
        spool.put(PAGE * 20)
