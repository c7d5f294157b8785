"""Listing a store: complete, in order, many requests at once."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from concurrent_dataloader._base.errors import StorageError
from concurrent_dataloader.dataset.folder_walk import walk_folders
from concurrent_dataloader.dataset.listing import list_objects
from concurrent_dataloader.dataset.range_listing import list_ranges
from concurrent_dataloader.storage import LocalStore, MemoryStore, ObjectInfo, Page

names = st.text(st.sampled_from("ab0é-./😀"), min_size=1, max_size=3)
keys = st.lists(names, min_size=1, max_size=4).map("/".join)
trees = st.sets(keys, max_size=60)


def store_of(all_keys: Iterable[str], **options: object) -> MemoryStore:
    return MemoryStore({key: key.encode() for key in all_keys}, **options)  # type: ignore[arg-type]


def in_order(all_keys: Iterable[str], prefix: str = "") -> list[ObjectInfo]:
    wanted = sorted((key for key in all_keys if key.startswith(prefix)), key=str.encode)
    return [ObjectInfo(key, len(key.encode())) for key in wanted]


def keys_of(objects: Iterable[ObjectInfo]) -> list[str]:
    return [each.key for each in objects]


@settings(max_examples=60, deadline=None)
@given(trees, st.integers(1, 7), st.sampled_from(["", "a", "a/", "b/0"]))
def test_listing_in_ranges_is_the_sorted_serial_listing(tree: set[str], page_size: int, prefix: str) -> None:
    store = store_of(tree, page_size=page_size)
    pages = list_ranges(store, prefix, threads=4)
    assert [each for page in pages for each in page] == in_order(tree, prefix)


@settings(max_examples=40, deadline=None)
@given(trees, st.sampled_from(["", "a", "a/", "b/0"]))
def test_walking_folders_is_the_sorted_serial_listing(tree: set[str], prefix: str) -> None:
    assert list(walk_folders(store_of(tree), prefix)) == in_order(tree, prefix)


SHAPES = {
    "folders": [f"train/n{label:04d}/{at}.jpg" for label in range(60) for at in range(10)],
    "flat and numbered": [f"img_{at:07d}.jpg" for at in range(600)],
    "flat and hashed": [f"{at * 2654435761 % 2**32:08x}" for at in range(600)],
    "third level": [f"x/{year}/{month}/{at}" for year in range(2) for month in range(12) for at in range(25)],
    "one large folder among small ones": [f"{at}/1" for at in range(9)] + [f"5/{at:04d}" for at in range(500)],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_tree_of_any_shape_is_listed_in_parallel(shape: str) -> None:
    store = store_of(SHAPES[shape], page_size=5, latency_s=0.002)
    assert list(list_objects(store)) == in_order(SHAPES[shape])
    assert store.max_in_flight >= 8


@pytest.mark.parametrize("shape", SHAPES)
def test_parallel_listing_costs_few_requests_more_than_serial(shape: str) -> None:
    store = store_of(SHAPES[shape], page_size=10, latency_s=0.002)
    count = sum(1 for _ in list_objects(store))
    assert store.requests < 4 * count / 10 + 50


def test_more_folders_than_threads_lose_and_double_nothing() -> None:
    keys = [f"train/n{folder:03}/{image}.JPEG" for folder in range(150) for image in range(3)]
    assert keys_of(list_objects(store_of(keys, page_size=10))) == keys


def test_a_folder_that_sorts_between_files_stays_there() -> None:
    assert keys_of(list_objects(store_of(["a.png", "a/1.png", "a-1.png", "b"]))) == ["a-1.png", "a.png", "a/1.png", "b"]


def test_markers_of_folders_are_left_out() -> None:
    store = store_of(["a/", "a/1", "b/", "b/c/", "d"])
    assert keys_of(list_objects(store)) == ["a/1", "d"]


def test_a_single_page_costs_a_single_request() -> None:
    store = store_of(["p/1", "p/2", "q"])
    assert keys_of(list_objects(store, "p/")) == ["p/1", "p/2"]
    assert store.requests == 1


def test_an_empty_listing_is_empty() -> None:
    assert keys_of(list_objects(store_of([]), "nothing/")) == []


def test_the_first_objects_come_before_the_last_ones_are_listed() -> None:
    gate = threading.Event()
    keys = [f"{label}/{at}" for label in "ab" for at in range(4)]

    class Gated(MemoryStore):
        def list_page(
            self, prefix: str, start_after: str = "", delimiter: str = "", max_entries: int | None = None
        ) -> Page:
            if not delimiter and start_after >= "b/":
                gate.wait()
            return super().list_page(prefix, start_after, delimiter, max_entries)

    listing = list_objects(Gated(dict.fromkeys(keys, b""), page_size=2))
    assert [next(listing).key for _ in range(4)] == ["a/0", "a/1", "a/2", "a/3"]
    gate.set()
    assert [each.key for each in listing] == ["b/0", "b/1", "b/2", "b/3"]


def test_a_listing_that_is_closed_early_leaves_no_thread_behind() -> None:
    store = store_of([f"{at:04d}" for at in range(500)], page_size=5)
    listing = list_objects(store)
    next(listing)
    listing.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("listing")]


def test_an_error_of_the_store_ends_the_listing_and_its_threads() -> None:
    store = store_of([f"{at:04d}" for at in range(50)], page_size=5, faults={"": [None, None, StorageError("gone")]})
    with pytest.raises(StorageError, match="gone"):
        list(list_objects(store))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("listing")]


class Unordered(MemoryStore):
    def list_page(
        self, prefix: str, start_after: str = "", delimiter: str = "", max_entries: int | None = None
    ) -> Page:
        return super().list_page(prefix, "", delimiter, max_entries)


def test_a_store_that_ignores_where_to_start_is_an_error_and_no_endless_listing() -> None:
    store = Unordered(dict.fromkeys([f"{at:04d}" for at in range(50)], b""), page_size=5)
    with pytest.raises(StorageError, match="memory://.*did not list the keys behind"):
        list(list_objects(store))


class EmptyPages(MemoryStore):
    def list_page(
        self, prefix: str, start_after: str = "", delimiter: str = "", max_entries: int | None = None
    ) -> Page:
        return Page([], [], True)


def test_empty_pages_without_end_are_an_error() -> None:
    with pytest.raises(StorageError, match="empty page"):
        list(list_objects(EmptyPages()))


def test_a_local_tree_is_listed_in_the_order_of_whole_paths(tmp_path: Path) -> None:
    tree = ["a/b/c", "a/b.txt", "a/b-1", "a.txt", "b", "a/é", "a/z", "aa"]
    for key in tree:
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_text(key)
    assert list(list_objects(LocalStore(tmp_path))) == in_order(tree)
    assert keys_of(list_objects(LocalStore(tmp_path), "a/b")) == ["a/b-1", "a/b.txt", "a/b/c"]


def test_links_of_a_local_tree_are_followed_but_not_back_up(tmp_path: Path) -> None:
    (tmp_path / "real/below").mkdir(parents=True)
    (tmp_path / "real/below/1").write_text("1")
    (tmp_path / "real/below/up").symlink_to(tmp_path / "real")
    (tmp_path / "other").symlink_to(tmp_path / "real/below")
    assert keys_of(list_objects(LocalStore(tmp_path))) == ["other/1", "real/below/1"]


def test_a_local_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="missing"):
        list(list_objects(LocalStore(tmp_path / "missing")))
