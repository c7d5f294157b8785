"""Parts of a listing, and where they are cut."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from concurrent_dataloader.dataset.folder_cuts import find_cuts
from concurrent_dataloader.dataset.key_range import KeyRange, between
from concurrent_dataloader.storage import MemoryStore, ObjectInfo

texts = st.text(st.sampled_from("abz09/_ü😀"), max_size=12)


def infos(*keys: str) -> list[ObjectInfo]:
    return [ObjectInfo(key, 1) for key in keys]


@given(texts, st.one_of(st.none(), texts), st.sets(st.sampled_from("abcdef0123"), max_size=6))
def test_what_is_between_two_strings_lies_between_them(low: str, high: str | None, alphabet: set[str]) -> None:
    found = between(low, high, alphabet)
    assert found is None or (low < found and (high is None or found < high))


@pytest.mark.parametrize(
    ("low", "high"), [("a", "c"), ("img_0000999", "img_9"), ("", None), ("x/1", "x/9"), ("5", None)]
)
def test_between_strings_with_room_something_is_found(low: str, high: str | None) -> None:
    assert between(low, high, "0123456789abc") is not None


@pytest.mark.parametrize(("low", "high"), [("a", "a"), ("b", "a"), ("", "")])
def test_where_there_is_no_room_nothing_is_found(low: str, high: str) -> None:
    assert between(low, high, "ab") is None


def test_halving_numbers_finds_the_middle_number() -> None:
    found = between("img_0000000", "img_9999999", "0123456789")
    assert found is not None
    assert found.startswith(("img_4", "img_5"))


def test_a_page_is_taken_up_to_the_end_of_the_range() -> None:
    part = KeyRange(last="a", upto="c")
    assert part.accept(infos("b", "c", "d"), truncated=True) == infos("b", "c")
    assert part.done
    assert part.last == "c"


def test_a_range_goes_on_while_the_store_has_more_below_its_end() -> None:
    part = KeyRange(last="a", upto="x")
    part.accept(infos("b", "c"), truncated=True)
    assert not part.done
    part.accept(infos("d"), truncated=False)
    assert part.done


def test_a_range_that_reaches_its_last_key_asks_for_no_more() -> None:
    part = KeyRange(upto="c")
    part.accept(infos("b", "c"), truncated=True)
    assert part.done


def test_the_middle_of_a_range_begins_with_the_prefix() -> None:
    part = KeyRange(upto=None)
    part.accept(infos("train/a/1", "train/a/2"), truncated=True)
    middle = part.middle("train/")
    assert middle is not None
    assert middle.startswith("train/")
    assert middle > "train/a/2"


def cuts_of(keys: list[str], enough: int, most: int = 10) -> list[str]:
    store = MemoryStore(dict.fromkeys(keys, b""))
    top = store.list_page("", delimiter="/")
    return find_cuts(lambda folders: [store.list_page(folder, delimiter="/") for folder in folders], top, enough, most)


def test_cuts_are_found_at_the_level_where_the_tree_fans_out() -> None:
    keys = [f"data/images/{label}/{at}" for label in "abcdef" for at in range(2)]
    assert cuts_of(keys, 10) == [f"data/images/{label}/" for label in "abcdef"]


def test_a_folder_without_folders_stays_a_cut_beside_deeper_ones() -> None:
    keys = ["test/1", "train/a/1", "train/b/1", "val/1"]
    assert cuts_of(keys, 10) == ["test/", "train/a/", "train/b/", "val/"]


def test_no_more_cuts_than_wanted_are_taken_and_they_are_spread() -> None:
    keys = [f"{at:03d}/x" for at in range(100)]
    assert cuts_of(keys, 10, 4) == ["000/", "025/", "050/", "075/"]


def test_folders_are_not_looked_into_once_there_are_enough() -> None:
    assert cuts_of(["a/x/1", "a/y/1", "b/1"], 2) == ["a/", "b/"]


def test_a_flat_listing_has_no_cuts() -> None:
    assert cuts_of(["a", "b"], 4) == []
