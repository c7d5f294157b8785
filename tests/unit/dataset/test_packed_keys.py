from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from concurrent_dataloader._base.errors import IndexFileError
from concurrent_dataloader.dataset.key_batch import KeyBatch
from concurrent_dataloader.dataset.key_index import KeyIndex
from concurrent_dataloader.dataset.pack_writer import PackWriter
from concurrent_dataloader.dataset.packed_keys import PackedKeys

KEYS = [f"folder/{number}.JPEG" for number in range(100)]
SOURCE = b"the index's state"[:16]


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return write(tmp_path / "keys.packed", KEYS)


def write(path: Path, keys: list[str]) -> Path:
    with path.open("wb") as file:
        writer = PackWriter(file)
        writer.add(KeyBatch(keys))
        writer.finish(SOURCE)
    return path


def test_a_whole_pack_is_opened(pack: Path) -> None:
    packed = PackedKeys.open(pack, SOURCE)
    assert packed is not None
    assert list(KeyIndex(packed)) == KEYS


def test_a_pack_of_no_keys_is_opened(tmp_path: Path) -> None:
    packed = PackedKeys.open(write(tmp_path / "none", []), SOURCE)
    assert packed is not None
    assert list(KeyIndex(packed)) == []


def test_a_pack_of_another_source_is_not_opened(pack: Path) -> None:
    assert PackedKeys.open(pack, b"another state   ") is None


def test_a_missing_file_is_not_opened(tmp_path: Path) -> None:
    assert PackedKeys.open(tmp_path / "nowhere", SOURCE) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_one_changed_byte_anywhere_is_noticed(tmp_path: Path, data: st.DataObject) -> None:
    path = write(tmp_path / "keys", KEYS)
    block = bytearray(path.read_bytes())
    checked = [*range(52), *range(64, len(block))]  # between the two: padding that says nothing
    at = data.draw(st.sampled_from(checked))
    block[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(block)
    assert PackedKeys.open(path, SOURCE) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_cut_or_longer_file_is_noticed(tmp_path: Path, data: st.DataObject) -> None:
    path = write(tmp_path / "keys", KEYS)
    block = path.read_bytes()
    size = data.draw(st.integers(0, len(block) + 100).filter(lambda size: size != len(block)))
    path.write_bytes(block.ljust(size, b"\0")[:size])
    assert PackedKeys.open(path, SOURCE) is None


def test_a_mapped_pack_is_pickled_by_its_path(pack: Path) -> None:
    packed = PackedKeys.open(pack, SOURCE)
    pickled = pickle.dumps(packed)
    assert len(pickled) < 500
    assert list(KeyIndex(pickle.loads(pickled))) == KEYS


@pytest.mark.parametrize("happening", ["removed", "replaced"])
def test_a_pack_whose_file_is_gone_is_pickled_by_value(pack: Path, happening: str) -> None:
    packed = PackedKeys.open(pack, SOURCE)
    pack.unlink() if happening == "removed" else shutil.move(write(pack.with_name("new"), ["other"]), pack)
    assert list(KeyIndex(pickle.loads(pickle.dumps(packed)))) == KEYS


def test_a_worker_refuses_a_pack_that_was_replaced_while_it_started(pack: Path) -> None:
    pickled = pickle.dumps(PackedKeys.open(pack, SOURCE))
    shutil.move(write(pack.with_name("new"), ["other"]), pack)
    with pytest.raises(IndexFileError, match="was replaced while a worker process was starting"):
        pickle.loads(pickled)
