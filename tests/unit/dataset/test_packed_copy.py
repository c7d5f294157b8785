from __future__ import annotations

import json
import logging
import multiprocessing
import os
import pickle
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from concurrent_dataloader._base.errors import IndexFileError
from concurrent_dataloader.dataset import index_file, json_keys
from concurrent_dataloader.dataset.index_file import load_index, write_index
from concurrent_dataloader.dataset.key_batch import KeyBatch
from concurrent_dataloader.dataset.key_index import KeyIndex

KEYS = [f"train/{number}.JPEG" for number in range(20_000)]


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """An index that is large enough for a packed copy, and has none."""
    path = tmp_path / "folder" / "index.json"
    path.parent.mkdir()
    path.write_text(json.dumps(KEYS))
    return path


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were parsed rather than mapped."""
    calls: list[Path] = []

    def read_keys(file: BinaryIO, path: Path) -> Iterator[KeyBatch]:
        calls.append(path)
        return json_keys.read_keys(file, path)

    monkeypatch.setattr(index_file, "read_keys", read_keys)
    return calls


@pytest.fixture
def while_parsing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Has something done between the first batch of the next parsing and the rest of it."""

    def arrange(action: Callable[[], object]) -> None:
        def read_keys(file: BinaryIO, path: Path) -> Iterator[KeyBatch]:
            monkeypatch.setattr(index_file, "read_keys", json_keys.read_keys)
            batches = json_keys.read_keys(file, path)
            yield next(batches)
            action()
            yield from batches

        monkeypatch.setattr(json_keys, "_READ_BYTES", 1 << 16)
        monkeypatch.setattr(index_file, "read_keys", read_keys)

    return arrange


def replace(path: Path, text: str) -> None:
    path.with_name("new").write_text(text)
    path.with_name("new").replace(path)


def inode_of(index: KeyIndex) -> object:
    return index._packed._inode


def test_the_second_start_maps_it(big: Path, parsed: list[Path]) -> None:
    first, second = load_index(big), load_index(big)
    assert parsed == [big]
    assert list(first) == list(second) == KEYS
    assert len(pickle.dumps(second)) < 500


def test_a_large_index_is_written_with_its_copy_so_that_the_first_start_maps_it(
    tmp_path: Path, parsed: list[Path]
) -> None:
    write_index(tmp_path / "index.json", KEYS, "a test")
    assert list(load_index(tmp_path / "index.json")) == KEYS
    assert parsed == []


def test_nothing_else_is_left_behind(big: Path) -> None:
    load_index(big)
    assert sorted(each.name for each in big.parent.iterdir()) == ["index.json", "index.json.packed"]


def test_it_is_as_readable_as_the_index(big: Path, while_parsing: Callable[[Callable[[], object]], None]) -> None:
    big.chmod(0o640)
    modes: list[int] = []
    while_parsing(lambda: modes.extend(each.stat().st_mode & 0o777 for each in big.parent.iterdir()))
    load_index(big)
    modes.append((big.parent / "index.json.packed").stat().st_mode & 0o777)
    assert modes == [0o640] * 3


def test_a_changed_index_is_parsed_again(big: Path, parsed: list[Path]) -> None:
    load_index(big)
    big.write_text(big.read_text().replace("train", "valid"))
    assert load_index(big)[0] == "valid/0.JPEG"
    assert load_index(big)[-1] == "valid/19999.JPEG"
    assert len(parsed) == 2


@pytest.mark.parametrize("change", [Path.write_text, replace])
def test_a_changed_index_of_the_same_size_and_time_is_parsed_again(
    big: Path, change: Callable[[Path, str], object]
) -> None:
    load_index(big)
    status = big.stat()
    change(big, big.read_text().replace("train", "valid"))
    os.utime(big, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert load_index(big)[0] == "valid/0.JPEG"


def test_changes_in_quick_succession_are_all_noticed(big: Path) -> None:
    text = big.read_text()
    for number in range(30):
        name = f"{number:05d}"
        big.write_text(text.replace("train", name))
        assert load_index(big)[0] == f"{name}/0.JPEG"


def test_a_damaged_copy_is_made_again(big: Path, parsed: list[Path]) -> None:
    load_index(big)
    copy = big.parent / "index.json.packed"
    block = bytearray(copy.read_bytes())
    block[1000] ^= 1
    copy.write_bytes(block)
    assert list(load_index(big)) == KEYS
    load_index(big)
    assert len(parsed) == 2


def test_an_open_index_keeps_its_keys_when_the_file_changes(big: Path) -> None:
    index = load_index(big)
    replace(big, big.read_text().replace("train", "valid"))
    load_index(big)
    assert index[7] == pickle.loads(pickle.dumps(index))[7] == "train/7.JPEG"


def test_an_index_that_is_replaced_while_it_is_parsed_is_read_whole_and_its_copy_is_not_trusted(
    big: Path, while_parsing: Callable[[Callable[[], object]], None]
) -> None:
    text = big.read_text()
    while_parsing(lambda: replace(big, text.replace("train", "valid")))
    assert list(load_index(big)) == KEYS
    assert load_index(big)[0] == "valid/0.JPEG"


def test_an_index_that_is_overwritten_while_it_is_parsed_is_refused(
    big: Path, while_parsing: Callable[[Callable[[], object]], None]
) -> None:
    text = big.read_text()
    while_parsing(lambda: big.write_text(text[:-2]))
    with pytest.raises(IndexFileError, match=f"{big} was written to while it was read"):
        load_index(big)
    assert list(big.parent.iterdir()) == [big]


def test_of_two_that_are_made_at_once_all_map_the_first(
    big: Path, while_parsing: Callable[[Callable[[], object]], None]
) -> None:
    others: list[KeyIndex] = []
    while_parsing(lambda: others.append(load_index(big)))
    index = load_index(big)
    assert inode_of(index) == inode_of(others[0]) == inode_of(load_index(big))
    assert list(index) == list(others[0]) == KEYS
    assert len(list(big.parent.iterdir())) == 2


def test_processes_that_start_together_all_read_the_keys(big: Path) -> None:
    fork: Any = multiprocessing.get_context("fork")
    start, answers = fork.Barrier(4), fork.Queue()

    def load() -> None:
        start.wait(60)
        answers.put(list(load_index(big)) == KEYS)

    children = [fork.Process(target=load) for _ in range(4)]
    for child in children:
        child.start()
    assert [answers.get(timeout=60) for _ in children] == [True] * 4
    for child in children:
        child.join(60)
    assert sorted(each.name for each in big.parent.iterdir()) == ["index.json", "index.json.packed"]


@pytest.fixture(params=["a folder in its place", "a folder that is read-only"])
def nowhere_beside(request: pytest.FixtureRequest, big: Path) -> Iterator[None]:
    """The copy cannot be written beside the index; the first way holds for root too, who may write anywhere."""
    if request.param == "a folder in its place":
        (big.parent / "index.json.packed").mkdir()
        yield
    else:
        big.parent.chmod(0o500)
        if os.access(big.parent, os.W_OK):
            pytest.skip("root may write to a read-only folder")
        yield
        big.parent.chmod(0o700)


@pytest.mark.usefixtures("nowhere_beside")
def test_the_cache_folder_serves_where_the_index_cannot_be_written_beside(
    big: Path, cache_folder: Path, parsed: list[Path]
) -> None:
    load_index(big)
    assert load_index(big)[3] == "train/3.JPEG"
    assert parsed == [big]
    assert len(list((cache_folder / "concurrent_dataloader" / "index").iterdir())) == 1


@pytest.mark.usefixtures("nowhere_beside")
def test_without_any_place_for_it_the_keys_stay_in_memory_and_that_is_said(
    big: Path, cache_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache_folder.write_text("no folder")
    with caplog.at_level(logging.WARNING):
        index = load_index(big)
    assert f"no packed copy of {big} can be kept" in caplog.text
    assert list(index) == list(pickle.loads(pickle.dumps(index))) == KEYS


@pytest.mark.usefixtures("nowhere_beside")
def test_a_user_without_a_home_folder_can_read_an_index(big: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", home)
    assert list(load_index(big)) == KEYS


def test_a_full_disk_costs_the_copy_and_leaves_no_part(
    big: Path, cache_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # a write past it fails as on a full disk
    try:
        index = load_index(big)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "no packed copy" in caplog.text
    assert list(index) == KEYS
    assert list(big.parent.iterdir()) == [big]
    assert list((cache_folder / "concurrent_dataloader" / "index").iterdir()) == []


def test_a_bad_large_index_leaves_no_copy(big: Path) -> None:
    big.write_text(big.read_text().rstrip("]\n"))
    with pytest.raises(IndexFileError, match="no ',' or ']' after an entry"):
        load_index(big)
    assert list(big.parent.iterdir()) == [big]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("sticky", [True, False])
def test_in_a_sticky_folder_a_copy_by_a_stranger_is_not_believed(big: Path, parsed: list[Path], sticky: bool) -> None:
    load_index(big)
    [copy] = big.parent.glob("*.packed")
    os.chown(copy, 65534, -1)
    big.parent.chmod(0o1777 if sticky else 0o777)  # in the other he could have replaced the index itself
    parsed.clear()
    assert list(load_index(big)) == KEYS
    assert bool(parsed) is sticky


def test_a_pipe_in_place_of_the_copy_is_not_waited_for(big: Path) -> None:
    os.mkfifo(big.with_name(big.name + ".packed"))
    assert list(load_index(big)) == KEYS
