"""How much the cache keeps, and for how many processes and threads."""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
import threading
from pathlib import Path

import pytest
from counting_store import HEADER, CountingStore, DerivedStore, body_of, cached, entry_files, entry_of

from concurrent_dataloader._base.errors import MissingFileError
from concurrent_dataloader.storage import cache_disk, cache_ledger
from concurrent_dataloader.storage.cache import CachedStore, cache_stats, clear_cache
from concurrent_dataloader.storage.cache_folder import INCOMING_NAME


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
        monkeypatch.setattr(DerivedStore, "get", lambda self, key, size_bytes=None: bytes(4000))
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
