from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from concurrent_dataloader.dataset import key_index
from concurrent_dataloader.dataset.key_batch import KeyBatch
from concurrent_dataloader.dataset.key_index import KeyIndex
from concurrent_dataloader.dataset.memory_pack import pack_in_memory
from concurrent_dataloader.storage import ObjectInfo

ANY_TEXT = st.text(st.characters())  # surrogates too: a local file name that is no UTF-8 has them
KEYS = st.lists(st.one_of(st.text(max_size=12), ANY_TEXT, st.sampled_from(["", "a", "ä", "😀", "a/../b", "/a"])))
SLICES = st.slices(12)
SIZES = st.none() | st.integers(0, 2**63 - 1)


def sized(entries: list[tuple[str, int | None]]) -> KeyIndex:
    return KeyIndex(pack_in_memory([KeyBatch([key for key, _ in entries], [size for _, size in entries])]))


@given(KEYS)
def test_any_keys_come_back_in_order(keys: list[str]) -> None:
    index = KeyIndex.from_keys(keys)
    assert len(index) == len(keys)
    assert list(index) == keys
    assert [index[at] for at in range(len(keys))] == keys
    assert [index[at - len(keys)] for at in range(len(keys))] == keys


@given(st.lists(st.builds(ObjectInfo, st.text(max_size=12), st.integers(0, 2**63 - 1))))
def test_what_a_listing_yields_comes_back_with_its_sizes(objects: list[ObjectInfo]) -> None:
    index = KeyIndex.from_objects(iter(objects))
    assert [ObjectInfo(key, index.size_of(at) or 0) for at, key in enumerate(index)] == objects


@given(st.lists(st.lists(st.tuples(st.text(max_size=12), SIZES))))
def test_joined_indexes_keep_keys_and_sizes(parts: list[list[tuple[str, int | None]]]) -> None:
    index = KeyIndex.joined(sized(part) if part else KeyIndex.from_keys([]) for part in parts)
    assert [(key, index.size_of(at)) for at, key in enumerate(index)] == [entry for part in parts for entry in part]


def test_an_index_without_sizes_may_be_joined_with_one_that_has_them() -> None:
    index = KeyIndex.joined([KeyIndex.from_keys(["a"]), sized([("b", 2)])[:1], KeyIndex.from_keys(["c"])])
    assert [(key, index.size_of(at)) for at, key in enumerate(index)] == [("a", None), ("b", 2), ("c", None)]


@given(KEYS, SLICES, SLICES)
def test_slices_of_slices_are_those_of_a_list(keys: list[str], outer: slice, inner: slice) -> None:
    index = KeyIndex.from_keys(keys)[outer]
    assert isinstance(index, KeyIndex)
    assert list(index) == keys[outer]
    assert list(index[inner]) == keys[outer][inner]


@given(KEYS, SLICES)
def test_pickle_keeps_a_slice(keys: list[str], part: slice) -> None:
    index = KeyIndex.from_keys(keys)[part]
    assert list(pickle.loads(pickle.dumps(index))) == keys[part]


@given(KEYS, st.integers(0, 12))
def test_the_first_key_outside_is_counted_from_the_slice(keys: list[str], start: int) -> None:
    outside = [at for at, key in enumerate(keys[start:]) if key.startswith("/") or ".." in key.split("/")]
    assert KeyIndex.from_keys(keys)[start:].first_outside == (outside[0] if outside else None)


def test_keys_that_span_several_batches_come_back() -> None:
    keys = [f"é{number}" if number % 70_000 == 0 else str(number) for number in range(150_000)]
    index = KeyIndex.from_keys(iter(keys))
    assert list(index) == keys
    assert index[70_000] == "é70000"


def test_repeated_keys_are_kept() -> None:
    assert list(KeyIndex.from_keys(["a", "a", "b", "a"])) == ["a", "a", "b", "a"]


@pytest.mark.parametrize("index", [np.int64(1), np.uint8(1), torch.tensor(1), -2, np.int32(-2), True])
def test_integers_of_other_libraries_are_indices(index: int) -> None:
    assert KeyIndex.from_keys(["a", "b", "c"])[index] == "b"


@pytest.mark.parametrize("index", [3, -4, np.int64(3)])
def test_an_index_out_of_range_is_an_index_error(index: int) -> None:
    with pytest.raises(IndexError, match="out of range for 3 keys"):
        KeyIndex.from_keys(["a", "b", "c"])[index]


def test_a_float_is_no_index() -> None:
    with pytest.raises(TypeError):
        KeyIndex.from_keys(["a"])[0.0]  # type: ignore[call-overload]


def test_a_slice_shares_the_bytes_of_the_whole() -> None:
    index = KeyIndex.from_keys([str(number) for number in range(100)])
    assert index[10:20]._packed is index._packed


@given(st.lists(st.tuples(st.text(max_size=3), SIZES)), SLICES, SLICES)
def test_slices_and_pickles_keep_the_sizes(entries: list[tuple[str, int | None]], outer: slice, inner: slice) -> None:
    index = pickle.loads(pickle.dumps(sized(entries)[outer]))[inner]
    assert [(key, index.size_of(at)) for at, key in enumerate(index)] == entries[outer][inner]


def test_a_size_is_asked_for_like_a_key() -> None:
    index = sized([("a", 1), ("b", None), ("c", 3)])
    assert [index.size_of(at) for at in (-1, np.int64(0), torch.tensor(1))] == [3, 1, None]


@pytest.mark.parametrize("index", [KeyIndex.from_keys(["a"]), sized([("a", 1)])])
def test_the_size_of_a_key_that_is_not_there_is_an_index_error(index: KeyIndex) -> None:
    with pytest.raises(IndexError, match="out of range for 1 keys"):
        index.size_of(1)


def test_batches_with_and_without_sizes_make_one_index() -> None:
    batches = [KeyBatch(["a", "b"]), KeyBatch(["c"], [7]), KeyBatch(["d"]), KeyBatch(["e"], [None])]
    index = KeyIndex(pack_in_memory(batches))
    assert list(index) == ["a", "b", "c", "d", "e"]
    assert [index.size_of(at) for at in range(5)] == [None, None, 7, None, None]


@given(st.lists(st.text("aä😀\ud800", max_size=2), max_size=30), SLICES)
def test_duplicates_are_counted(keys: list[str], part: slice) -> None:
    wanted = keys[part]
    for batch in (1, 3, 1 << 16):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(key_index, "_BATCH", batch)
            assert KeyIndex.from_keys(keys)[part].count_duplicates() == len(wanted) - len(set(wanted))


def test_all_keys_being_one_is_counted() -> None:
    assert KeyIndex.from_keys(["a"] * 100_000).count_duplicates() == 99_999
