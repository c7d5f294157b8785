from __future__ import annotations

import pickle
import shutil
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from concurrent_dataloader._base.errors import IndexFileError
from concurrent_dataloader.dataset import packed_keys
from concurrent_dataloader.dataset.key_batch import KeyBatch
from concurrent_dataloader.dataset.key_index import KeyIndex
from concurrent_dataloader.dataset.pack_format import Header
from concurrent_dataloader.dataset.pack_writer import PackWriter
from concurrent_dataloader.dataset.packed_keys import PackedKeys

KEYS = [f"folder/{number}.JPEG" for number in range(100)]
SIZES: list[int | None] = [None, *range(99)]
SOURCE = b"the index's state"[:16]


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return write(tmp_path / "keys.packed", KEYS)


def write(path: Path, keys: list[str], sizes: list[int | None] | None = None) -> Path:
    with path.open("wb") as file:
        writer = PackWriter(file)
        writer.add(KeyBatch(keys, sizes))
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
    path = write(tmp_path / "keys", KEYS, data.draw(st.sampled_from([None, SIZES])))
    block = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(block) - 1))
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
    with pytest.raises(IndexFileError, match="was removed or replaced while a worker process was starting"):
        pickle.loads(pickled)


def test_a_worker_refuses_a_pack_that_is_gone(pack: Path) -> None:
    pickled = pickle.dumps(PackedKeys.open(pack, SOURCE))
    pack.unlink()
    with pytest.raises(IndexFileError, match=f"{pack} was removed or replaced"):
        pickle.loads(pickled)


def test_a_pack_of_an_older_format_is_not_opened(pack: Path) -> None:
    forge(pack, lambda block: b"CDLKEYS1" + block[8:])
    assert PackedKeys.open(pack, SOURCE) is None


def forge(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Changes a pack and gives it the checksum that goes with the change."""
    block = change(path.read_bytes())
    fields = block[:49]
    checksum = zlib.crc32(fields.ljust(64, b"\0"), zlib.crc32(block[64:]))
    path.write_bytes((fields + checksum.to_bytes(4, "little")).ljust(64, b"\0") + block[64:])


def test_a_forger_who_changes_nothing_is_believed(pack: Path) -> None:
    before = pack.read_bytes()
    forge(pack, lambda block: block)
    assert pack.read_bytes() == before
    assert PackedKeys.open(pack, SOURCE) is not None


NUMBERS = st.integers(0, 2**64 - 1) | st.integers(0, 2000)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 100), number=NUMBERS, piece=st.sampled_from([16, 1 << 20]))
def test_forged_offsets_must_rise_within_the_text(tmp_path: Path, at: int, number: int, piece: int) -> None:
    path = write(tmp_path / "keys", KEYS)
    true = np.frombuffer(path.read_bytes()[-808:], dtype=np.uint64).copy()
    forged = true.copy()
    forged[at] = number
    forge(path, lambda block: block[:-808] + forged.tobytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_keys, "_READ_BYTES", piece)
        packed = PackedKeys.open(path, SOURCE)
    rises = forged[0] == 0 and forged[-1] == true[-1] and bool((forged[1:] >= forged[:-1]).all())
    assert (packed is not None) == rises
    assert packed is None or len("".join(KeyIndex(packed))) == true[-1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(field=st.sampled_from([8, 16, 24, 32]), number=NUMBERS)
def test_forged_counts_are_refused_or_read_without_harm(tmp_path: Path, field: int, number: int) -> None:
    path = write(tmp_path / "keys", KEYS, SIZES)
    forge(path, lambda block: block[:field] + number.to_bytes(8, sys.byteorder) + block[field + 8 :])
    packed = PackedKeys.open(path, SOURCE)
    assert packed is None or list(KeyIndex(packed)) == KEYS


@given(st.lists(NUMBERS, min_size=2, max_size=5), st.binary(max_size=20))
def test_offsets_that_nobody_checked_cannot_leave_the_text(offsets: list[int], text: bytes) -> None:
    header = Header(len(offsets) - 1, len(text), -1, False, SOURCE, 0)
    padding = bytes(header.offsets_start - 64 - len(text))
    block = header.to_bytes() + text + padding + np.array(offsets, dtype=np.uint64).tobytes()
    index = KeyIndex(PackedKeys(block, header))
    for at in range(len(index)):
        wanted = text[offsets[at] : offsets[at + 1]]
        try:
            assert index[at].encode("utf-8", "surrogatepass") == wanted
        except UnicodeDecodeError as error:
            assert error.object == wanted  # noqa: PT017 the text that was read is what is tested
