"""The contract of `ObjectStore`: each store's tests subclass it and give a ``store`` fixture, an empty store."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from concurrent_dataloader._base.errors import ObjectNotFound, OptionError, StorageError
from concurrent_dataloader.storage import ObjectInfo, ObjectStore

T = TypeVar("T")

NAMES_TO_ESCAPE = [
    "with space",
    "ünïcödé/😀",
    "u\u0308",
    "a+b",
    "a%20b",
    "a%2Fb",
    "a#b",
    "a?b=c&d",
    "~'(x)*!",
    '<a>|"^`',
]
# Keys that a client may take for another: each with the key that it must not be taken for.
LOOKALIKES = {"a//b": "a/b", "/lead": "lead", "trail/": "trail", "x/./y": "x/y", "p/../q": "q"}


def on_loop(store: ObjectStore, action: Callable[[], Awaitable[T]]) -> T:
    """Runs the action on a new event loop, and closes the store's part of it."""

    async def run() -> T:
        try:
            return await action()
        finally:
            await store.aclose()

    return asyncio.run(run())


class StoreContract:
    def test_is_an_object_store(self, store: ObjectStore) -> None:
        assert isinstance(store, ObjectStore)

    def test_get_and_aget_return_what_was_put(self, store: ObjectStore) -> None:
        bodies = {"folder/one.bin": bytes(range(256)) * 40, "empty": b""}
        for key, body in bodies.items():
            store.put(key, body)
        for key, body in bodies.items():
            assert store.get(key) == body
            assert on_loop(store, lambda key=key: store.aget(key)) == body
            assert type(store.get(key)) is bytes

    def test_put_replaces_the_whole_object(self, store: ObjectStore) -> None:
        store.put("key", b"a longer first body")
        store.put("key", b"second")
        assert store.get("key") == b"second"

    def test_many_threads_get_their_own_objects(self, store: ObjectStore) -> None:
        bodies = {f"object-{i}": b"%d" % i * 100 for i in range(6)}
        for key, body in bodies.items():
            store.put(key, body)
        with ThreadPoolExecutor(6) as pool:
            assert list(pool.map(store.get, bodies)) == list(bodies.values())

    def test_many_tasks_get_their_own_objects(self, store: ObjectStore) -> None:
        bodies = {f"object-{i}": b"%d" % i * 100 for i in range(6)}
        for key, body in bodies.items():
            store.put(key, body)

        async def read_all() -> list[bytes]:
            return await asyncio.gather(*(store.aget(key) for key in bodies))

        assert on_loop(store, read_all) == list(bodies.values())

    def test_get_range_returns_the_bytes_asked_for_and_stops_at_the_end(self, store: ObjectStore) -> None:
        store.put("key", b"0123456789")
        assert store.get_range("key", 0, 1) == b"0"
        assert store.get_range("key", 2, 5) == b"234"
        assert store.get_range("key", 7, 100) == b"789"

    def test_a_range_past_the_end_is_an_error(self, store: ObjectStore) -> None:
        store.put("key", b"0123456789")
        with pytest.raises(StorageError, match="key"):
            store.get_range("key", 10, 12)

    @pytest.mark.parametrize(("start", "end"), [(3, 3), (3, 2), (-1, 2)])
    def test_a_range_that_is_none_is_refused(self, store: ObjectStore, start: int, end: int) -> None:
        with pytest.raises(OptionError, match="start"):
            store.get_range("key", start, end)

    def test_head_tells_the_size(self, store: ObjectStore) -> None:
        store.put("key", b"0123456789")
        assert store.head("key") == ObjectInfo("key", 10)

    def test_a_missing_key_is_an_object_not_found_that_names_it(self, store: ObjectStore) -> None:
        store.put("there", b"body")
        for read in (store.get, store.head, lambda key: store.get_range(key, 0, 1)):
            with pytest.raises(ObjectNotFound, match="not/there"):
                read("not/there")
        with pytest.raises(FileNotFoundError, match="not/there"):
            on_loop(store, lambda: store.aget("not/there"))

    def test_list_yields_all_below_a_prefix_in_the_order_of_bytes(self, store: ObjectStore) -> None:
        keys = ["a/b/c", "a/b.txt", "a/b-1", "a.txt", "b", "a/é", "a/z", "aa"]
        for key in keys:
            store.put(key, key.encode())
        in_order = sorted(keys, key=str.encode)
        assert list(store.list()) == [ObjectInfo(key, len(key.encode())) for key in in_order]
        for prefix in ("a", "a/", "a/b", "a/b/", "a/b/c", "nothing", "no/thing"):
            assert [each.key for each in store.list(prefix)] == [key for key in in_order if key.startswith(prefix)]

    def test_list_prefixes_shows_one_level(self, store: ObjectStore) -> None:
        for key in ("a/x/1", "a/x/2", "a/y/1", "a/file", "b"):
            store.put(key, b"12")
        assert store.list_prefixes() == (["a/"], [ObjectInfo("b", 2)])
        assert store.list_prefixes("a/") == (["a/x/", "a/y/"], [ObjectInfo("a/file", 2)])
        assert store.list_prefixes("a/x") == (["a/x/"], [])
        assert store.list_prefixes("nothing/") == ([], [])

    def test_names_that_urls_must_escape_stay_themselves(self, store: ObjectStore) -> None:
        for key in NAMES_TO_ESCAPE:
            store.put(key, key.encode())
        assert [each.key for each in store.list()] == sorted(NAMES_TO_ESCAPE, key=str.encode)
        for key in NAMES_TO_ESCAPE:
            assert store.get(key) == store.get_range(key, 0, 100) == key.encode()
            assert store.head(key).size_bytes == len(key.encode())

        async def read_all() -> list[bytes]:
            return [await store.aget(key) for key in NAMES_TO_ESCAPE]

        assert on_loop(store, read_all) == [key.encode() for key in NAMES_TO_ESCAPE]

    def test_a_pickled_store_reads_the_same_objects(self, store: ObjectStore) -> None:
        store.put("key", b"body")
        store.get("key")  # its client exists, and must not be pickled
        assert pickle.loads(pickle.dumps(store)).get("key") == b"body"

    def test_describe_names_the_key(self, store: ObjectStore) -> None:
        assert "some/key" in store.describe("some/key")


class KeysAreOpaqueContract:
    """For stores whose keys are no paths: keys that look alike are different objects."""

    @pytest.mark.parametrize(("key", "other"), LOOKALIKES.items())
    def test_keys_that_look_alike_are_told_apart(self, store: ObjectStore, key: str, other: str) -> None:
        store.put(key, b"the right one")
        store.put(other, b"another")
        assert store.get(key) == b"the right one"
        assert on_loop(store, lambda: store.aget(key)) == b"the right one"
        assert store.get_range(key, 4, 9) == b"right"
        assert store.head(key).size_bytes == 13
        assert {each.key for each in store.list()} == {key, other}
