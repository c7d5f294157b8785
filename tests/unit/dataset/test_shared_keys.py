"""Keys that were listed, in a file that all processes map."""

from __future__ import annotations

import logging
import pickle
import stat
from pathlib import Path

import pytest

from concurrent_dataloader.dataset.shared_keys import share_keys

MANY = [f"folder/{'x' * 200}/{i:06}.jpg" for i in range(3000)]


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def files(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file()]


def test_few_keys_need_no_file(cache: Path) -> None:
    assert list(share_keys(["b", "a"], "s3://bucket/", b"1")) == ["b", "a"]
    assert files(cache) == []


def test_many_keys_lie_in_one_file_that_a_pickle_names(cache: Path) -> None:
    keys = share_keys(iter(MANY), "s3://bucket/", b"1")
    [file] = files(cache)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    pickled = pickle.dumps(keys)
    assert len(pickled) < 1000
    assert list(pickle.loads(pickled)) == list(keys) == MANY


def test_the_same_keys_listed_again_use_the_file_that_is_there(cache: Path) -> None:
    share_keys(MANY, "s3://bucket/", b"1")
    before = files(cache)[0].stat()
    share_keys(MANY, "s3://bucket/", b"1")
    assert files(cache)[0].stat() == before


def test_other_keys_of_the_same_place_replace_the_file_and_leave_the_old_mapping_alone(cache: Path) -> None:
    old = share_keys(MANY, "s3://bucket/", b"1")
    new = share_keys(reversed(MANY), "s3://bucket/", b"2")
    assert list(new) == MANY[::-1]
    assert list(old) == MANY
    assert list(pickle.loads(pickle.dumps(old))) == MANY
    assert len(files(cache)) == 1
    share_keys(MANY, "s3://other/", b"1")
    assert len(files(cache)) == 2


def test_a_damaged_file_is_replaced(cache: Path) -> None:
    share_keys(MANY, "s3://bucket/", b"1")
    [file] = files(cache)
    file.write_bytes(file.read_bytes()[:-9] + b"x" * 9)
    assert list(share_keys(MANY, "s3://bucket/", b"1")) == MANY


def test_where_no_file_can_be_written_the_keys_stay_in_memory_and_a_warning_says_so(
    cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (cache / "concurrent_dataloader").write_text("a file in the way")
    with caplog.at_level(logging.WARNING):
        keys = share_keys(MANY, "s3://bucket/", b"1")
    assert list(keys) == MANY
    assert "copy of all keys of s3://bucket/" in caplog.text
    assert list(pickle.loads(pickle.dumps(keys))) == MANY
