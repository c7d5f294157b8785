from __future__ import annotations

import asyncio
import errno
import logging
import multiprocessing
import os
import pickle
import random
import stat
import sys
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from concurrent_dataloader._base.errors import MissingFileError, ObjectNotFound, OptionError, StorageError
from concurrent_dataloader.storage import cache_disk, cache_entry, cache_folder, cache_ledger
from concurrent_dataloader.storage.cache import CachedStore, cache_stats, clear_cache
from concurrent_dataloader.storage.cache_folder import INCOMING_NAME, LEDGER_NAME
from concurrent_dataloader.storage.protocol import ObjectInfo, ObjectStore

HEADER = 16  # bytes of an entry that are not the object's


class CountingStore:
    """A store in memory that counts what is asked of it."""

    def __init__(self, objects: dict[str, bytes] | None = None, root: str = "fake://bucket") -> None:
        self.objects, self.root = dict(objects or {}), root
        self.asked: Counter[str] = Counter()
        self.concurrency = 0

    def get(self, key: str) -> bytes:
        self.asked["get"] += 1
        if key not in self.objects:
            raise ObjectNotFound(f"no object {key}")
        return self.objects[key]

    async def aget(self, key: str) -> bytes:
        return self.get(key)

    def get_range(self, key: str, start: int, end: int) -> bytes:
        self.asked["get_range"] += 1
        return self.objects[key][start:end]

    def head(self, key: str) -> ObjectInfo:
        return ObjectInfo(key, len(self.objects[key]))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return (self.head(key) for key in sorted(self.objects) if key.startswith(prefix))

    def list_prefixes(self, prefix: str = ""):
        return [prefix], []

    def put(self, key: str, body: bytes) -> None:
        self.objects[key] = body

    def describe(self, key: str) -> str:
        return f"{self.root}/{key}"

    def set_max_concurrency(self, requests: int) -> None:
        self.concurrency = requests

    async def aclose(self) -> None:
        self.asked["aclose"] += 1


class DerivedStore(CountingStore):
    """A store whose bodies follow from their keys, so that every process knows the right bytes."""

    def get(self, key: str) -> bytes:
        return body_of(key)


def body_of(key: str) -> bytes:
    return random.Random(key).randbytes(500 + zlib.crc32(key.encode()) % 4000)


def cached(store: ObjectStore, folder: Path, max_bytes: int = 1_000_000) -> CachedStore:
    return CachedStore(store, cache_dir=folder, max_bytes=max_bytes)


def entry_files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("??/*") if path.is_file()]


def entry_of(folder: Path, key: str, root: str = "fake://bucket") -> Path:
    return folder / cache_folder.entry_name(f"{root}/key", key)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


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
        inner = CountingStore({"a": bytes(range(256))})
        store = cached(inner, folder)
        store.get("a")
        real_read = os.read
        monkeypatch.setattr(cache_entry.os, "read", lambda fd, size: real_read(fd, min(size, 100)))
        assert store.get("a") == bytes(range(256))
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


class TestBound:
    def test_the_least_recently_used_goes_first(self, folder: Path) -> None:
        store = cached(CountingStore({key: bytes(1000) for key in "abcd"}), folder, 3 * (1000 + HEADER))
        for key in "abcad":
            store.get(key)
        present = [key for key in "abcd" if entry_of(folder, key).exists()]
        assert present == ["a", "c", "d"]

    def test_the_sum_stays_below_the_bound_after_every_object(self, folder: Path) -> None:
        rng = random.Random(2)
        inner = CountingStore({str(i): rng.randbytes(rng.randrange(4000)) for i in range(150)})
        store = cached(inner, folder, 20_000)
        for key in inner.objects:
            assert store.get(key) == inner.objects[key]
            assert sum(path.stat().st_size for path in entry_files(folder)) <= 20_000
        assert cache_stats(folder).size_bytes > 10_000

    def test_an_object_as_large_as_the_bound_is_kept_and_a_larger_one_never(self, folder: Path) -> None:
        inner = CountingStore({"fits": bytes(1000), "small": b"s", "large": bytes(1001)})
        store = cached(inner, folder, 1000 + HEADER)
        for key in ("small", "fits", "large", "fits", "large"):
            store.get(key)
        assert inner.asked["get"] == 4
        assert [path.stat().st_size for path in entry_files(folder)] == [1000 + HEADER]

    def test_a_lower_bound_holds_as_soon_as_a_store_is_built(self, folder: Path) -> None:
        inner = CountingStore({str(i): bytes(1000) for i in range(20)})
        store = cached(inner, folder)
        for key in inner.objects:
            store.get(key)
        cached(inner, folder, 5000)
        assert 0 < cache_stats(folder).size_bytes <= 5000
        assert entry_of(folder, "19").exists()

    def test_an_entry_that_is_replaced_is_counted_once(self, folder: Path) -> None:
        store = cached(CountingStore({"a": bytes(1000)}), folder)
        for _ in range(5):
            store.get("a")
            entry_of(folder, "a").write_bytes(bytes(1000 + HEADER))
        store.get("a")
        with cache_ledger.locked_ledger(str(folder), 0.0) as ledger:
            assert ledger is not None
            assert ledger.total_bytes == 1000 + HEADER

    def test_large_caches_are_looked_through_in_parts(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cache_disk, "_SAMPLE", 8)
        store = cached(DerivedStore(), folder, 400_000)
        for i in range(400):
            store.get(str(i))
        scanned: list[int] = []
        real_scan = cache_ledger.scan_shard
        monkeypatch.setattr(
            cache_ledger, "scan_shard", lambda path, shard: (scanned.append(shard), real_scan(path, shard))[1]
        )
        monkeypatch.setattr(DerivedStore, "get", lambda self, key: bytes(4000))
        for i in range(10):
            store.get(f"more{i}")
        assert 0 < len(scanned) < 256
        assert len(set(scanned)) == len(scanned)  # one round has not come to its end: no part twice
        assert 300_000 < cache_stats(folder).size_bytes <= 400_000

    def test_while_another_process_holds_the_lock_objects_are_fetched_without_being_kept(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cache_disk, "_PATIENCE_S", 0.0)
        inner = CountingStore({"a": b"alpha", "b": b"beta"})
        store = cached(inner, folder)
        store.get("a")
        with cache_ledger.locked_ledger(str(folder), 0.0):
            assert (store.get("a"), store.get("b")) == (b"alpha", b"beta")
        assert [store.get("b") for _ in range(2)] == [b"beta"] * 2
        assert inner.asked["get"] == 3


class TestFolder:
    def test_folders_are_0700_and_files_0600_whatever_the_umask(self, folder: Path) -> None:
        before = os.umask(0)
        try:
            cached(CountingStore({"a": b"alpha"}), folder).get("a")
        finally:
            os.umask(before)
        modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in (folder, *folder.rglob("*"))}
        assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
        assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}

    def test_an_empty_folder_is_taken_and_closed_to_others(self, folder: Path) -> None:
        folder.mkdir(mode=0o755)
        cached(CountingStore(), folder)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    @pytest.mark.parametrize("key", ["../../evil", "/etc/passwd", "a/../../b", "..", "", "nul\0", "\udcff", "x" * 5000])
    def test_no_key_leaves_the_folder(self, folder: Path, tmp_path: Path, key: str) -> None:
        store = cached(CountingStore({key: b"body"}), folder)
        assert [store.get(key), store.get(key)] == [b"body"] * 2
        assert [path.name for path in tmp_path.iterdir()] == ["cache"]
        assert len(entry_files(folder)) == 1

    def test_a_symbolic_link_in_place_of_an_entry_is_not_followed(self, folder: Path, tmp_path: Path) -> None:
        store = cached(CountingStore({"a": b"alpha"}), folder)
        store.get("a")
        os.replace(entry_of(folder, "a"), tmp_path / "outside")
        before = (tmp_path / "outside").read_bytes()
        entry_of(folder, "a").symlink_to(tmp_path / "outside")
        store._store.objects["a"] = b"other"
        assert store.get("a") == b"other"
        assert (tmp_path / "outside").read_bytes() == before

    def test_names_and_entries_show_no_key_and_no_store(self, folder: Path) -> None:
        cached(CountingStore({"secret-key": b"body"}, "fake://secret-bucket"), folder).get("secret-key")
        for path in folder.rglob("*"):
            assert "secret" not in str(path.relative_to(folder))
            assert path.is_dir() or b"secret" not in path.read_bytes()

    def test_a_folder_of_another_user_is_refused(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder.mkdir()
        monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
        with pytest.raises(OptionError, match="belongs to another user"):
            cached(CountingStore(), folder)

    def test_a_link_that_another_user_planted_is_refused(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "target").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "target")
        if os.geteuid() == 0:
            os.lchown(tmp_path / "link", 65534, -1)
        else:
            monkeypatch.setattr(os, "geteuid", lambda: folder.parent.stat().st_uid + 1)
        for path in (tmp_path / "link", tmp_path / "link" / "below"):
            with pytest.raises(OptionError, match="symbolic link"):
                cached(CountingStore(), path)

    def test_a_link_of_ones_own_is_followed(self, tmp_path: Path) -> None:
        (tmp_path / "target").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "target")
        cached(CountingStore({"a": b"alpha"}), tmp_path / "link").get("a")
        assert len(entry_files(tmp_path / "target")) == 1

    def test_a_folder_with_other_files_is_refused_and_left_alone(self, folder: Path) -> None:
        folder.mkdir(mode=0o755)
        (folder / "thesis.tex").write_text("dear")
        with pytest.raises(OptionError, match=r"thesis\.tex"):
            cached(CountingStore(), folder)
        with pytest.raises(MissingFileError):
            clear_cache(folder)
        assert (folder / "thesis.tex").read_text() == "dear"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o755

    def test_a_cache_that_others_could_write_is_refused(self, folder: Path) -> None:
        cached(CountingStore(), folder)
        folder.chmod(0o777)
        with pytest.raises(OptionError, match="written by other users"):
            cached(CountingStore(), folder)

    def test_a_file_in_place_of_the_folder_is_refused(self, folder: Path) -> None:
        folder.write_text("a file")
        with pytest.raises(OptionError, match="cannot be used as a folder"):
            cached(CountingStore(), folder)

    @pytest.mark.parametrize("max_bytes", [0, -1, 1.5, True, "1", None])
    def test_a_bound_that_is_no_number_of_bytes_is_refused(self, folder: Path, max_bytes: object) -> None:
        with pytest.raises(OptionError, match="max_bytes"):
            cached(CountingStore(), folder, max_bytes)  # type: ignore[arg-type]
        assert not folder.exists()

    def test_a_system_without_file_locks_is_refused(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cache_ledger, "fcntl", None)
        with pytest.raises(OptionError, match="POSIX"):
            cached(CountingStore(), folder)


def raise_error(number: int):
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


class TestFullDisk:
    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
    def test_a_disk_that_refuses_a_write_is_gone_without_and_mentioned_once(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
    ) -> None:
        inner = CountingStore({str(i): bytes(100) for i in range(10)})
        store = cached(inner, folder)
        store.get("0")
        real_write, writes = os.write, []

        def half_a_write(fd: int, data: bytes) -> int:
            writes.append(real_write(fd, bytes(data)[:50]))
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(cache_entry.os, "write", half_a_write)
        for _ in range(2):
            for key in inner.objects:
                assert store.get(key) == bytes(100)
        monkeypatch.undo()
        assert len(writes) == 1  # having been refused, it does not ask again for a while
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert os.strerror(number) in caplog.text
        assert inner.asked["get"] == 1 + 2 * 9  # what was there before is still read
        assert not (folder / INCOMING_NAME).exists()
        assert cache_stats(folder).entries == 1

    def test_it_writes_again_when_the_disk_has_had_time_to_be_emptied(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(cache_disk, "_RETRY_S", 0.0)
        store = cached(CountingStore({"a": b"alpha"}), folder)
        with monkeypatch.context() as patch:
            patch.setattr(cache_disk, "write_incoming", raise_error(errno.ENOSPC))
            for _ in range(3):
                store.get("a")
        assert len(caplog.records) == 1
        store.get("a")
        assert cache_stats(folder).entries == 1

    def test_a_read_only_disk_without_the_folder_is_gone_without(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(os, "makedirs", raise_error(errno.EROFS))
        store = cached(CountingStore({"a": b"alpha"}), folder)
        assert [store.get("a"), asyncio.run(store.aget("a"))] == [b"alpha"] * 2
        store.put("a", b"new")
        assert store.get("a") == b"new"
        assert len(caplog.records) == 1

    def test_an_entry_that_cannot_be_read_is_fetched(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        store = cached(CountingStore({"a": b"alpha"}), folder)
        store.get("a")
        monkeypatch.setattr(cache_entry.os, "read", raise_error(errno.EIO))
        assert [store.get("a") for _ in range(3)] == [b"alpha"] * 3
        assert len(caplog.records) == 1


class TestMaintenance:
    def test_stats_count_what_lies_there(self, folder: Path) -> None:
        store = cached(CountingStore({"a": b"alpha", "b": b"be"}), folder, 12345)
        assert (cache_stats(folder).entries, cache_stats(folder).max_bytes) == (0, 12345)
        store.get("a"), store.get("b")
        stats = cache_stats(folder)
        assert (stats.entries, stats.size_bytes, stats.max_bytes) == (2, 7 + 2 * HEADER, 12345)

    def test_clear_removes_all_entries_and_tells_how_many(self, folder: Path) -> None:
        inner = CountingStore({str(i): bytes(i) for i in range(30)})
        store = cached(inner, folder)
        for key in inner.objects:
            store.get(key)
        (folder / INCOMING_NAME).write_bytes(b"left over")
        assert clear_cache(folder).entries == 30
        assert (cache_stats(folder).entries, cache_stats(folder).size_bytes) == (0, 0)
        assert not (folder / INCOMING_NAME).exists()
        assert store.get("7") == bytes(7)  # a store that was open goes on
        assert cache_stats(folder).entries == 1

    @pytest.mark.parametrize("function", [cache_stats, clear_cache])
    def test_where_there_is_no_cache_the_message_says_so(self, folder: Path, function) -> None:
        with pytest.raises(MissingFileError, match="no cache in"):
            function(folder)
        assert not folder.exists()


class TestProcessesAndThreads:
    def test_threads_that_miss_on_one_key_at_once_get_whole_bytes(self, folder: Path) -> None:
        store = cached(CountingStore({"a": random.Random(3).randbytes(200_000)}), folder)
        start, wrong = threading.Barrier(8), []

        def read() -> None:
            start.wait()
            for _ in range(20):
                if store.get("a") != store._store.objects["a"]:
                    wrong.append(1)
                entry_of(folder, "a").unlink(missing_ok=True)

        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []

    @pytest.mark.parametrize("method", ["fork", "spawn"])
    def test_processes_that_write_together_stay_below_the_bound_and_read_right_bytes(
        self, folder: Path, method: str
    ) -> None:
        context = multiprocessing.get_context(method)
        store = cached(DerivedStore(), folder, 100_000)
        workers = [context.Process(target=read_at_random, args=(store, seed, 300)) for seed in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        assert [worker.exitcode for worker in workers] == [0, 0]
        assert 50_000 < cache_stats(folder).size_bytes <= 100_000
        with cache_ledger.locked_ledger(str(folder), 0.0) as ledger:
            assert ledger is not None
            assert ledger.total_bytes == cache_stats(folder).size_bytes

    def test_a_child_forked_while_the_lock_is_held_does_not_keep_it(self, folder: Path) -> None:
        cached(CountingStore(), folder)
        asked, answer = os.pipe()
        with cache_ledger.locked_ledger(str(folder), 0.0):
            child = os.fork()
            if child == 0:
                os.close(answer)
                os.read(asked, 1)  # lives until the parent closes its end
                os._exit(len(cache_ledger._open_ledgers))
        with cache_ledger.locked_ledger(str(folder), 0.0) as ledger:
            assert ledger is not None
        os.close(answer)
        os.close(asked)
        assert os.waitpid(child, 0)[1] == 0

    def test_no_descriptor_stays_open(self, folder: Path) -> None:
        store = cached(CountingStore({str(i): bytes(1000) for i in range(20)}), folder, 5000)
        before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
        for i in range(20):
            store.get(str(i))
        store.put("1", b"")
        assert (len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0) == before


def read_at_random(store: CachedStore, seed: int, reads: int) -> None:
    rng = random.Random(seed)
    for _ in range(reads):
        key = str(rng.randrange(100))
        assert store.get(key) == body_of(key)
