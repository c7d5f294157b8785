from __future__ import annotations

import gzip
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from concurrent_dataloader._base.errors import IndexFileError, MissingFileError, OptionError
from concurrent_dataloader.dataset.index_file import load_index, write_index
from concurrent_dataloader.dataset.key_index import KeyIndex
from concurrent_dataloader.storage.protocol import ObjectInfo

SOME_KEYS = ["train/n01440764/n01440764_10026.JPEG", "ä b/ü.png", 'quote"d\\', "😀", "a\nb", "a", "a", ',"', "[x]"]
SIZED = [ObjectInfo(key, 1000 * at) for at, key in enumerate(SOME_KEYS)]


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def text_of(path: Path) -> str:
    raw = path.read_bytes()
    return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()


def sizes_of(index: KeyIndex) -> list[int | None]:
    return [index.size_of(at) for at in range(len(index))]


@pytest.mark.parametrize("name", ["index.json", "index.json.gz", "new/folder/index.json"])
def test_a_list_of_plain_keys_is_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert write_index(path, iter(SOME_KEYS), "a test") == len(SOME_KEYS)
    assert json.loads(text_of(path)) == SOME_KEYS
    assert list(load_index(path)) == SOME_KEYS
    assert sizes_of(load_index(path)) == [None] * len(SOME_KEYS)
    assert list(path.parent.iterdir()) == [path]  # a small index needs no packed copy


@pytest.mark.parametrize("name", ["index.json", "index.json.gz"])
def test_sizes_are_kept_in_a_packed_copy_and_the_list_stays_one_of_plain_keys(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert write_index(path, iter(SIZED), "a test") == len(SOME_KEYS)
    assert json.loads(text_of(path)) == SOME_KEYS
    assert sorted(each.name for each in tmp_path.iterdir()) == [name, f"{name}.packed"]
    index = load_index(path)
    assert list(index) == SOME_KEYS
    assert sizes_of(index) == [each.size_bytes for each in SIZED]


@pytest.mark.parametrize("name", ["index.jsonl", "index.jsonl.gz"])
@pytest.mark.parametrize("copy_is_there", [True, False])
def test_json_lines_hold_the_sizes_themselves(tmp_path: Path, name: str, copy_is_there: bool) -> None:
    path = tmp_path / name
    write_index(path, SIZED, "a test")
    lines = [json.loads(line) for line in text_of(path).splitlines()]
    assert lines == [{"key": each.key, "size": each.size_bytes} for each in SIZED]
    if not copy_is_there:
        path.with_name(name + ".packed").unlink()
    assert list(load_index(path)) == SOME_KEYS
    assert sizes_of(load_index(path)) == [each.size_bytes for each in SIZED]


def test_json_lines_without_sizes_hold_the_key_alone(tmp_path: Path) -> None:
    write_index(tmp_path / "index.jsonl", ["a", "b"], "a test")
    assert text_of(tmp_path / "index.jsonl") == '{"key": "a"}\n{"key": "b"}\n'


@pytest.mark.parametrize("name", ["index.json", "index.jsonl"])
def test_many_entries_some_with_a_size_are_written(tmp_path: Path, name: str) -> None:
    entries = [str(at) if at < 3000 or at % 3 else ObjectInfo(str(at), at) for at in range(5000)]
    write_index(tmp_path / name, entries, "a test")
    index = load_index(tmp_path / name)
    assert list(index) == [str(at) for at in range(5000)]
    assert sizes_of(index) == [None if isinstance(entry, str) else entry.size_bytes for entry in entries]


def test_a_rewritten_index_without_sizes_has_none(tmp_path: Path) -> None:
    path = tmp_path / "index.json"
    write_index(path, [ObjectInfo("a", 1)], "a test")
    write_index(path, ["b"], "a test")
    assert list(load_index(path)) == ["b"]
    assert sizes_of(load_index(path)) == [None]


def test_a_small_index_that_is_changed_by_hand_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "index.json"
    write_index(path, [ObjectInfo("a", 1)], "a test")
    path.write_text(path.read_text().replace("a", "b"))
    assert list(load_index(path)) == ["b"]


@pytest.mark.parametrize("entries", [[], iter(())])
def test_no_keys_write_nothing(tmp_path: Path, entries: list[str]) -> None:
    with pytest.raises(MissingFileError, match="nothing in s3://bucket/ matches"):
        write_index(tmp_path / "index.json", entries, "s3://bucket/")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["index.json", "index.json.gz", "index.jsonl"])
def test_an_interrupted_listing_leaves_the_old_index(tmp_path: Path, name: str) -> None:
    def listing() -> Iterator[ObjectInfo]:
        yield from SIZED * 500
        raise KeyboardInterrupt

    write_index(tmp_path / name, ["old"], "a test")
    with pytest.raises(KeyboardInterrupt):
        write_index(tmp_path / name, listing(), "a test")
    assert list(load_index(tmp_path / name)) == ["old"]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("key", ["", "a\0", "\ud800", "x" * 20_000])
def test_a_key_that_could_not_be_read_back_is_not_written(tmp_path: Path, key: str) -> None:
    entries = [*map(str, range(2000)), key]
    with pytest.raises(IndexFileError, match=r"entry 2000 \(counted from 0\)"):
        write_index(tmp_path / "index.json", entries, "a test")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("entry", [b"a", None, 3, ObjectInfo("a", -1), ObjectInfo("a", 1.5)])  # type: ignore[arg-type]
def test_an_entry_that_is_none_is_named(tmp_path: Path, entry: object) -> None:
    with pytest.raises(OptionError, match="entries: entry 1 is .*expected"):
        write_index(tmp_path / "index.json", ["a", entry], "a test")  # type: ignore[list-item]
    assert list(tmp_path.iterdir()) == []


def test_an_index_whose_copy_cannot_be_written_is_there_all_the_same_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "index.json.packed").mkdir()
    with caplog.at_level(logging.WARNING):
        write_index(tmp_path / "index.json", SIZED, "a test")
    assert "the sizes of its objects are lost" in caplog.text
    assert list(load_index(tmp_path / "index.json")) == SOME_KEYS


def test_a_new_index_and_its_copy_have_the_mode_of_any_new_file(tmp_path: Path) -> None:
    write_index(tmp_path / "index.json", SIZED, "a test")
    (tmp_path / "other").touch()
    assert {each.stat().st_mode for each in tmp_path.iterdir()} == {(tmp_path / "other").stat().st_mode}


def test_while_an_index_is_written_only_parts_named_after_it_lie_about(tmp_path: Path) -> None:
    seen: list[str] = []

    def listing() -> Iterator[str]:
        seen.extend(os.listdir(tmp_path))
        yield "a"

    write_index(tmp_path / "index.json", listing(), "a test")
    assert len(seen) == 2  # the index and its copy, for `ScratchDataset.index_all` to leave out
    assert all(name.startswith(".index.json.") and name.endswith(".part") for name in seen)
