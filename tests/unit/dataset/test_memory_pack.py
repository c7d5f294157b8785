from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from concurrent_dataloader.dataset.index_file import load_index, write_index
from concurrent_dataloader.dataset.key_batch import KeyBatch
from concurrent_dataloader.dataset.key_index import KeyIndex
from concurrent_dataloader.dataset.memory_pack import pack_in_memory

MANY = [f"train/{number}.JPEG" for number in range(70_000)]


def open_files() -> list[str]:
    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    return sorted(os.readlink(link) for link in links if os.path.islink(link))  # the listing's own is closed by now


def private_kilobytes(mapped: str) -> int:
    """What of the mapping of a file (the end of its name) this process alone holds."""
    lines = Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines()
    starts = [at for at, line in enumerate(lines) if mapped in line]
    assert starts, f"{mapped} is not mapped"
    fields = [re.match(r"Private_\w+: +(\d+) kB", line) for start in starts for line in lines[start : start + 20]]
    return sum(int(field[1]) for field in fields if field)


def touch(index: KeyIndex, mapped: str, answers: Any) -> None:
    same = list(index) == MANY
    answers.put((same, private_kilobytes(mapped)))


@pytest.fixture
def from_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_index(tmp_path / "index.json", MANY, "a test")
    return tmp_path / "index.json"


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("home", ["memfd:keys", "index.json.packed"])
def test_a_worker_shares_every_page_with_its_parent(method: str, home: str, from_file: Path) -> None:
    index = KeyIndex.from_keys(MANY) if home == "memfd:keys" else load_index(from_file)
    assert list(index) == MANY
    context: Any = multiprocessing.get_context(method)
    answers = context.Queue()
    worker = context.Process(target=touch, args=(index, home, answers))
    worker.start()
    assert answers.get(timeout=120) == (True, 0)
    worker.join(60)


def test_many_keys_in_memory_are_pickled_by_value_unless_a_worker_is_started() -> None:
    index = KeyIndex.from_keys(MANY)
    pickled = pickle.dumps(index)
    assert len(pickled) > 1_000_000
    del index
    assert list(pickle.loads(pickled)) == MANY


def test_a_file_without_a_name_goes_with_its_keys() -> None:
    gc.collect()  # what earlier tests have left
    before = open_files()
    index = KeyIndex.from_keys(MANY)
    part = index[5:70_000]
    assert len(open_files()) > len(before)
    del index
    assert part[0] == "train/5.JPEG"
    del part
    gc.collect()
    assert open_files() == before


def test_an_interrupted_listing_leaves_no_file_open() -> None:
    def batches() -> Iterator[KeyBatch]:
        yield KeyBatch(MANY)
        raise KeyboardInterrupt

    before = open_files()
    with pytest.raises(KeyboardInterrupt):
        pack_in_memory(batches())
    assert open_files() == before


def test_few_keys_open_no_file() -> None:
    before = open_files()
    index = KeyIndex.from_keys(MANY[:60_000])
    assert open_files() == before
    assert list(index) == MANY[:60_000]


@pytest.mark.parametrize("error", [AttributeError, OSError])
def test_a_system_without_nameless_files_keeps_many_keys_on_the_heap(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def memfd_create(name: str) -> int:
        raise error(name)

    monkeypatch.setattr(os, "memfd_create", memfd_create)
    assert list(KeyIndex.from_keys(MANY)) == MANY
