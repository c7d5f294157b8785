"""A store that counts what the cache asks of it, and what the tests of the cache share."""

from __future__ import annotations

import os
import random
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from concurrent_dataloader._base.errors import ObjectNotFound
from concurrent_dataloader.storage import cache_folder
from concurrent_dataloader.storage.cache import CachedStore
from concurrent_dataloader.storage.protocol import ObjectInfo, ObjectStore

HEADER = 16  # bytes of an entry that are not the object's


class CountingStore:
    """A store in memory that counts what is asked of it."""

    def __init__(self, objects: dict[str, bytes] | None = None, root: str = "fake://bucket") -> None:
        self.objects, self.root = dict(objects or {}), root
        self.asked: Counter[str] = Counter()
        self.concurrency = 0

    def get(self, key: str, size_bytes: int | None = None) -> bytes:
        self.asked["get"] += 1
        if key not in self.objects:
            raise ObjectNotFound(f"no object {key}")
        return self.objects[key]

    async def aget(self, key: str, size_bytes: int | None = None) -> bytes:
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

    def get(self, key: str, size_bytes: int | None = None) -> bytes:
        return body_of(key)


def body_of(key: str) -> bytes:
    return random.Random(key).randbytes(500 + zlib.crc32(key.encode()) % 4000)


def cached(store: ObjectStore, folder: Path, max_bytes: int = 1_000_000) -> CachedStore:
    return CachedStore(store, cache_dir=folder, max_bytes=max_bytes)


def entry_files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("??/*") if path.is_file()]


def entry_of(folder: Path, key: str, root: str = "fake://bucket") -> Path:
    return folder / cache_folder.entry_name(f"{root}/key", key)


def raise_error(number: int):
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail
