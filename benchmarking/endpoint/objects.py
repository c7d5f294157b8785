"""The bucket's objects: their bodies in memory, with the headers of a whole answer made beforehand."""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Iterable, Mapping
from email.utils import formatdate
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from benchmarking.endpoint.http import response_head

SMALL_BODY_BYTES = 256 * 1024  # up to here header and body are kept as one piece, so that one write sends both


class StoredObject:
    """One body and what is said of it; several keys may share it, since nothing here depends on the key.

    Attributes:
        body: The bytes.
        etag: MD5 of the body in quotes, as S3 has it for a body that was uploaded in one piece.
        modified_s: Time of the last change, in seconds since 1970.
        head: Status line and headers of the answer to a GET of the whole body.
        whole: ``head`` and body in one piece, for small bodies; else None.
    """

    __slots__ = ("body", "etag", "head", "modified_s", "whole")

    def __init__(self, body: bytes, modified_s: float) -> None:
        """Makes the headers of a body that was last changed at that time."""
        self.etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        self.modified_s = modified_s
        self.head = response_head(200, {"Content-Length": len(body), **self.headers()})
        self.whole: bytes | None = None
        self.body = memoryview(body)
        if len(body) <= SMALL_BODY_BYTES:
            self.whole = self.head + body
            self.body = memoryview(self.whole)[len(self.head) :]

    def headers(self) -> dict[str, str]:
        """Returns the headers that every answer about the object has."""
        return {
            "Content-Type": "binary/octet-stream",
            "ETag": self.etag,
            "Last-Modified": formatdate(self.modified_s, usegmt=True),
            "Accept-Ranges": "bytes",
        }


class Entry(NamedTuple):
    """One line of a listing: an object, or a common prefix, which has no object."""

    name: str
    stored: StoredObject | None


class Bucket:
    """The objects of one bucket, found by key and listed in the order of their keys' UTF-8 bytes."""

    def __init__(self, objects: Mapping[str, StoredObject] | None = None) -> None:
        """Takes the objects by key."""
        self._objects = dict(objects or {})
        self._keys = sorted(self._objects)  # Python's order of strings is that of their UTF-8 bytes
        self._before: dict[str, StoredObject | None] = {}  # what was changed since `remember`, as it was then

    def get(self, key: str) -> StoredObject | None:
        """Returns an object, or None where there is none of that key."""
        return self._objects.get(key)

    def put(self, key: str, stored: StoredObject) -> None:
        """Adds an object or replaces it."""
        self._before.setdefault(key, self._objects.get(key))
        if key not in self._objects:
            bisect.insort(self._keys, key)
        self._objects[key] = stored

    def delete(self, key: str) -> None:
        """Removes an object, if it is there."""
        if key in self._objects:
            self._before.setdefault(key, self._objects[key])
            self._keys.pop(bisect.bisect_left(self._keys, key))
            del self._objects[key]

    def remember(self) -> None:
        """Makes the present state the one that `as_remembered` goes back to."""
        self._before = {}

    def as_remembered(self, pattern: str) -> Bucket:
        """Returns a bucket in which the keys that match a shell pattern are as they were at the last `remember`.

        It takes a copy of all keys wherever one of them has changed.
        """
        changed = {key: stored for key, stored in self._before.items() if fnmatchcase(key, pattern)}
        if not changed:
            return self
        objects: dict[str, StoredObject | None] = {**self._objects, **changed}
        return Bucket({key: stored for key, stored in objects.items() if stored is not None})

    def page(self, prefix: str, delimiter: str, after: str, size: int) -> tuple[list[Entry], bool]:
        """Returns one page of a listing, and whether more follows.

        Args:
            prefix: Only keys that start with it.
            delimiter: Keys that have it behind the prefix are rolled up to one common prefix; empty: none are.
            after: Only what comes after this name, which may be a key or a common prefix of an earlier page.
            size: Largest number of entries.
        """
        entries: list[Entry] = []
        rolled_up = bool(delimiter) and after.startswith(prefix) and after == _common_prefix(after, prefix, delimiter)
        start = _end_of_prefix(self._keys, after) if rolled_up else bisect.bisect_right(self._keys, after)
        at = max(start, bisect.bisect_left(self._keys, prefix))
        while at < len(self._keys) and self._keys[at].startswith(prefix):
            if len(entries) == size:
                return entries, True
            key = self._keys[at]
            common = _common_prefix(key, prefix, delimiter) if delimiter else None
            if common is None:
                entries.append(Entry(key, self._objects[key]))
                at += 1
            else:
                entries.append(Entry(common, None))
                at = _end_of_prefix(self._keys, common)
        return entries, False


def objects_from_bodies(bodies: Iterable[tuple[str, bytes]], modified_s: float) -> dict[str, StoredObject]:
    """Returns objects for bodies by key; a body that comes under several keys is stored once."""
    shared: dict[int, StoredObject] = {}
    objects = {}
    for key, body in bodies:
        if id(body) not in shared:
            shared[id(body)] = StoredObject(body, modified_s)
        objects[key] = shared[id(body)]
    return objects


def read_folder(folder: Path) -> dict[str, StoredObject]:
    """Returns an object for every file below a folder; the key is the path below it, with forward slashes.

    Files that are hard links to one body are kept once.

    Raises:
        NotADirectoryError: There is no such folder.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"the endpoint's folder {folder} is not there")
    stored: dict[tuple[int, int], StoredObject] = {}
    objects = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            status = path.stat()
            identity = status.st_dev, status.st_ino
            if identity not in stored:
                stored[identity] = StoredObject(path.read_bytes(), status.st_mtime)
            objects[path.relative_to(folder).as_posix()] = stored[identity]
    return objects


def _common_prefix(key: str, prefix: str, delimiter: str) -> str | None:
    """Returns what a key is rolled up to, or None where the delimiter does not come behind the prefix."""
    cut = key.find(delimiter, len(prefix))
    return None if cut < 0 else key[: cut + len(delimiter)]


def _end_of_prefix(keys: list[str], prefix: str) -> int:
    """Returns where the keys with a prefix end in the sorted list."""
    at = bisect.bisect_left(keys, prefix)
    return bisect.bisect_right(keys, prefix, lo=at, key=lambda key: key[: len(prefix)])
