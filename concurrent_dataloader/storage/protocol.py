"""What every store offers: the one interface between datasets and object storage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object as a listing or a HEAD describes it.

    Attributes:
        key: The object's key, relative to the store's root (the bucket, or a local folder).
        size_bytes: Length of its body in bytes.
    """

    key: str
    size_bytes: int


# One level of a listing: common prefixes and objects. Named, because within a store `list` is its method.
Level: TypeAlias = tuple[list[str], list[ObjectInfo]]


class Page(NamedTuple):
    """One answer to a request for a listing.

    Attributes:
        prefixes: Common prefixes, if a delimiter was given; each ends in it.
        objects: The objects.
        truncated: Whether more follows.
    """

    prefixes: list[str]
    objects: list[ObjectInfo]
    truncated: bool


@runtime_checkable
class ObjectStore(Protocol):
    """A place where bodies lie under keys.

    A store is cheap to build and picklable: it holds configuration only. Its client is made on first use, once per
    process, under a lock, and is dropped on pickling and on fork. All methods may be called from many threads at once.

    Errors, the same for every store: ``ObjectNotFound`` and ``AccessDenied`` at once; what may pass (503, 429, reset,
    time-out, short body) is retried by the client with jittered back-off under a deadline, then ``StorageTimeout``,
    ``IncompleteBody`` or ``StorageError``. Each message names key and store, and no message names a secret.
    """

    def get(self, key: str, size_bytes: int | None = None) -> bytes:
        """Returns the whole body; its length has been checked against what the store announced.

        Args:
            key: The object.
            size_bytes: Its size as a listing gave it, if that is known. A store may read a large object by parallel
                ranges then, without asking for its size. Whatever it says, what comes back is what the store has now.
        """
        ...

    async def aget(self, key: str, size_bytes: int | None = None) -> bytes:
        """Like `get`, on the running event loop."""
        ...

    def get_range(self, key: str, start: int, end: int) -> bytes:
        """Returns the bytes ``start`` (included) to ``end`` (excluded) of the body."""
        ...

    def head(self, key: str) -> ObjectInfo:
        """Returns the object's size without its body."""
        ...

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yields every object whose key starts with ``prefix``, at any depth, in the order of their UTF-8 bytes."""
        ...

    def list_prefixes(self, prefix: str = "") -> Level:
        """Returns one level below ``prefix``: the common prefixes (each ends in ``/``) and the objects."""
        ...

    def put(self, key: str, body: bytes) -> None:
        """Writes an object, whole or not at all."""
        ...

    def describe(self, key: str) -> str:
        """Returns a name of the object for messages, for instance ``s3://bucket/key (endpoint https://...)``."""
        ...

    def set_max_concurrency(self, requests: int) -> None:
        """Tells how many requests will be in flight at once in this process, so that the connection pool fits them.

        To be called before the first request; after it, a client that is already there is kept.
        """
        ...

    async def aclose(self) -> None:
        """Closes what belongs to the running event loop (an aiobotocore session); idempotent."""
        ...


@runtime_checkable
class PagedStore(Protocol):
    """An `ObjectStore` that can start a listing behind any key, so that parts of it can be listed at once."""

    def list_page(
        self, prefix: str, start_after: str = "", delimiter: str = "", max_entries: int | None = None
    ) -> Page:
        """Returns one page of the objects whose key starts with ``prefix``, in the order of their UTF-8 bytes.

        Args:
            prefix: Which objects.
            start_after: Only those behind this key, which need not exist.
            delimiter: Those that have it behind the prefix are summed up in common prefixes; empty: none are.
            max_entries: Largest number of objects and prefixes; None, or more than a page holds: a page.
        """
        ...

    def describe(self, key: str) -> str:
        """As `ObjectStore.describe`."""
        ...
