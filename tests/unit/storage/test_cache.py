"""What the cache gives: whole objects, fetched once, and never a damaged one."""

from __future__ import annotations

import asyncio
import errno
import os
import pickle
import random
from pathlib import Path

import pytest
from counting_store import HEADER, CountingStore, cached, entry_files, entry_of, raise_error

from concurrent_dataloader._base.errors import ObjectNotFound, StorageError
from concurrent_dataloader.storage import cache_disk, cache_entry, cache_folder, cache_ledger
from concurrent_dataloader.storage.cache import cache_stats
from concurrent_dataloader.storage.cache_folder import LEDGER_NAME
from concurrent_dataloader.storage.protocol import ObjectInfo, ObjectStore


class TestReading:
    def test_an_object_is_fetched_once_and_then_read_from_disk(self, folder: Path) -> None:
        inner = CountingStore({"a": b"alpha", "empty": b""})
        store = cached(inner, folder)
        assert [store.get("a") for _ in range(3)] == [b"alpha"] * 3
        assert [store.get("empty") for _ in range(3)] == [b""] * 3
        assert inner.asked["get"] == 2

    def test_another_store_object_on_the_same_folder_hits(self, folder: Path) -> None:
        cached(CountingStore({"a": b"alpha"}), folder).get("a")
        inner = CountingStore()
        assert cached(inner, folder).get("a") == b"alpha"
        assert inner.asked["get"] == 0

    def test_aget_fetches_once_and_shares_entries_with_get(self, folder: Path) -> None:
        inner = CountingStore({"a": b"alpha", "b": b"beta"})
        store = cached(inner, folder)

        async def read() -> list[bytes]:
            return await asyncio.gather(*(store.aget(key) for key in "abab"), store.aget("a"))

        asyncio.run(read())
        asked = inner.asked["get"]
        assert asyncio.run(read()) == [b"alpha", b"beta", b"alpha", b"beta", b"alpha"]
        assert store.get("b") == b"beta"
        assert inner.asked["get"] == asked

    def test_a_missing_object_raises_as_the_store_does_and_leaves_no_entry(self, folder: Path) -> None:
        store = cached(CountingStore(), folder)
        with pytest.raises(ObjectNotFound):
            store.get("nothing")
        with pytest.raises(ObjectNotFound):
            asyncio.run(store.aget("nothing"))
        assert entry_files(folder) == []

    def test_two_stores_in_one_folder_never_mix(self, folder: Path) -> None:
        one = cached(CountingStore({"a": b"1"}, "fake://one"), folder)
        two = cached(CountingStore({"a": b"2"}, "fake://two"), folder)
        assert (one.get("a"), two.get("a"), one.get("a"), two.get("a")) == (b"1", b"2", b"1", b"2")

    def test_store_and_key_cannot_be_cut_in_two_ways(self) -> None:
        assert cache_folder.entry_name("s3://b/", "ab") != cache_folder.entry_name("s3://b/a", "b")

    def test_an_object_beyond_two_reads_of_the_kernel_is_put_together(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        inner = CountingStore({"a": random.Random(1).randbytes(50_000)})
        store = cached(inner, folder)
        store.get("a")
        real_read = os.read
        monkeypatch.setattr(cache_entry.os, "read", lambda fd, size: real_read(fd, min(size, 20_000)))
        assert store.get("a") == inner.objects["a"]
        assert inner.asked["get"] == 1

    @pytest.mark.parametrize(
        "size_bytes", [32 * 1024 - HEADER - 1, 32 * 1024 - HEADER, 32 * 1024 - HEADER + 1, 100_000]
    )
    def test_objects_of_every_size_come_back_whole(self, folder: Path, size_bytes: int) -> None:
        inner = CountingStore({"a": random.Random(size_bytes).randbytes(size_bytes)})
        store = cached(inner, folder)
        assert [store.get("a") for _ in range(2)] == [inner.objects["a"]] * 2
        assert inner.asked["get"] == 1


class TestPassingThrough:
    def test_it_is_an_object_store_and_hands_on_all_but_whole_objects(self, folder: Path) -> None:
        inner = CountingStore({"a": b"alpha"})
        store = cached(inner, folder)
        assert isinstance(store, ObjectStore)
        assert store.get_range("a", 1, 3) == b"lp"
        assert store.head("a") == ObjectInfo("a", 5)
        assert list(store.list("a")) == [ObjectInfo("a", 5)]
        assert store.list_prefixes("p/") == (["p/"], [])
        assert store.describe("a") == "fake://bucket/a"
        store.set_max_concurrency(7)
        asyncio.run(store.aclose())
        assert (inner.concurrency, inner.asked["aclose"], inner.asked["get"]) == (7, 1, 0)
        assert entry_files(folder) == []

    def test_a_put_drops_the_old_copy(self, folder: Path) -> None:
        store = cached(CountingStore({"a": b"old", "b": b"kept"}), folder)
        store.get("a"), store.get("b")
        store.put("a", b"new")
        assert store.get("a") == b"new"
        assert cache_stats(folder).size_bytes == len(b"new") + len(b"kept") + 2 * HEADER

    def test_a_put_drops_the_old_copy_although_another_process_holds_the_lock(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cache_disk, "_PATIENCE_S", 0.0)
        store = cached(CountingStore({"a": b"old"}), folder)
        store.get("a")
        with cache_ledger.locked_ledger(str(folder), 0.0):
            store.put("a", b"new")
        assert store.get("a") == b"new"

    def test_a_put_whose_old_copy_cannot_be_removed_says_so(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = cached(CountingStore({"a": b"old"}), folder)
        store.get("a")
        monkeypatch.setattr(cache_disk, "unlink_entry", raise_error(errno.EROFS))
        with pytest.raises(StorageError, match="fake://bucket/a cannot be removed"):
            store.put("a", b"new")

    def test_it_survives_pickling_with_its_entries(self, folder: Path) -> None:
        store = cached(CountingStore({"a": b"alpha"}), folder)
        store.get("a")
        twin = pickle.loads(pickle.dumps(store))
        twin._store.objects.clear()
        assert twin.get("a") == b"alpha"
        assert repr(twin).startswith("CachedStore(")

    def test_a_relative_folder_stays_where_it_was_after_a_change_of_directory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        store = cached(CountingStore({"a": b"alpha"}), Path("here"))
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        pickle.loads(pickle.dumps(store)).get("a")
        assert len(entry_files(tmp_path / "here")) == 1


class TestDamage:
    @pytest.mark.parametrize("position", [0, 5, 10, 16, 500, -1])
    def test_a_flipped_byte_is_found_and_the_object_fetched_again(self, folder: Path, position: int) -> None:
        inner = CountingStore({"a": random.Random(1).randbytes(1000)})
        store = cached(inner, folder)
        store.get("a")
        content = bytearray(entry_of(folder, "a").read_bytes())
        content[position] ^= 1
        entry_of(folder, "a").write_bytes(content)
        assert store.get("a") == inner.objects["a"]
        assert store.get("a") == inner.objects["a"]
        assert inner.asked["get"] == 2

    @pytest.mark.parametrize("length", [0, 7, 16, 40, 1015])
    def test_a_truncated_entry_is_fetched_again_and_replaced(self, folder: Path, length: int) -> None:
        inner = CountingStore({"a": random.Random(1).randbytes(1000)})
        store = cached(inner, folder)
        store.get("a")
        os.truncate(entry_of(folder, "a"), length)
        assert store.get("a") == inner.objects["a"]
        assert cached(CountingStore(), folder).get("a") == inner.objects["a"]

    def test_an_entry_with_bytes_too_many_is_fetched_again(self, folder: Path) -> None:
        inner = CountingStore({"a": b"alpha"})
        store = cached(inner, folder)
        store.get("a")
        with entry_of(folder, "a").open("ab") as file:
            file.write(b"!")
        assert store.get("a") == b"alpha"
        assert inner.asked["get"] == 2

    def test_an_entry_under_the_name_of_another_is_not_believed(self, folder: Path) -> None:
        inner = CountingStore({"a": b"alpha", "b": b"bravo"})
        store = cached(inner, folder)
        store.get("a"), store.get("b")
        os.replace(entry_of(folder, "a"), entry_of(folder, "b"))
        assert store.get("b") == b"bravo"

    def test_damage_is_logged_with_the_entry(self, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        store = cached(CountingStore({"a": b"alpha"}), folder)
        store.get("a")
        os.truncate(entry_of(folder, "a"), 3)
        store.get("a")
        assert entry_of(folder, "a").name in caplog.text

    @pytest.mark.parametrize("content", [b"", b"rubbish", bytes(2076), bytes(3000)])
    def test_a_damaged_ledger_is_counted_anew(self, folder: Path, content: bytes) -> None:
        store = cached(CountingStore({str(i): bytes(1000) for i in range(40)}), folder, 20 * (1000 + HEADER))
        for i in range(20):
            store.get(str(i))
        (folder / LEDGER_NAME).write_bytes(content)
        for i in range(20, 40):
            store.get(str(i))
            assert cache_stats(folder).size_bytes <= 20 * (1000 + HEADER)
        assert cache_stats(folder).entries >= 18

    def test_entries_deleted_behind_its_back_do_not_cost_room_for_good(self, folder: Path) -> None:
        store = cached(CountingStore({str(i): bytes(1000) for i in range(30)}), folder, 10 * (1000 + HEADER))
        for i in range(10):
            store.get(str(i))
        for path in entry_files(folder):
            path.unlink()
        for i in range(20, 30):
            store.get(str(i))
        assert cache_stats(folder).entries == 10
