"""The keys of a store, for an index: complete, each once, in the order of their bytes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from concurrent_dataloader.dataset.listing import chosen, list_keys, with_progress
from concurrent_dataloader.storage.memory import MemoryStore

SEGMENT = st.text("ab-./ä😀", min_size=1, max_size=3)
KEYS = st.lists(st.lists(SEGMENT, min_size=1, max_size=4).map("/".join), min_size=1, unique=True)


def keys_of(keys: list[str], prefix: str = "") -> list[str]:
    return list(map(str, list_keys(MemoryStore(dict.fromkeys(keys, b"")), prefix)))


@settings(max_examples=50, deadline=None)  # each example starts threads
@given(keys=KEYS, prefix=st.sampled_from(["", "a", "a/", "b-"]))
def test_every_key_below_the_prefix_comes_once_in_the_order_of_bytes(keys: list[str], prefix: str) -> None:
    expected = [key for key in keys if key.startswith(prefix) and not key.endswith("/")]
    assert keys_of(keys, prefix) == sorted(expected, key=str.encode)


def test_more_folders_than_threads_lose_and_double_nothing() -> None:
    keys = [f"train/n{folder:03}/{image}.JPEG" for folder in range(150) for image in range(3)]
    assert keys_of(keys) == keys


def test_a_folder_that_sorts_between_files_stays_there() -> None:
    assert keys_of(["a.png", "a/1.png", "a-1.png", "b"]) == ["a-1.png", "a.png", "a/1.png", "b"]


def test_a_suffix_chooses_whatever_the_case_of_either() -> None:
    keys = ["a.JPEG", "b.jpeg", "c.png", "jpeg"]
    assert list(chosen(keys, ".Jpeg")) == ["a.JPEG", "b.jpeg"]
    assert list(chosen(keys, [".png", ".JPEG"])) == ["a.JPEG", "b.jpeg", "c.png"]
    assert list(chosen(keys, None)) == keys


def test_a_progress_bar_changes_no_key() -> None:
    assert list(with_progress(["a", "b"], True)) == list(with_progress(["a", "b"], False)) == ["a", "b"]
