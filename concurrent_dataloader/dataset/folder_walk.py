"""Lists a store folder by folder, many folders at once: for stores that cannot start a listing anywhere."""

from __future__ import annotations

from collections.abc import Generator, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from concurrent_dataloader.storage import LocalStore
from concurrent_dataloader.storage.protocol import ObjectInfo, ObjectStore

WALKING_THREADS = 32  # folders read at once; reading a folder of a network file system is waiting, too

_AHEAD = 2 * WALKING_THREADS  # folders that are read before their turn: what waits in memory is bounded by them

_Entry = ObjectInfo | str  # an object, or a folder's name with a slash at its end


@dataclass(slots=True)
class _Folder:
    name: str
    above: frozenset[Hashable]  # the folders on the way down
    level: Future[tuple[Hashable, list[_Entry]]] | None = None


def walk_folders(store: ObjectStore, prefix: str) -> Generator[ObjectInfo]:
    """Yields every object that starts with a prefix, in the order of their keys' UTF-8 bytes.

    A level is sorted in memory, so the order of the store does not matter. On local disk a symbolic link that leads
    back up is not followed.

    Args:
        store: What to list.
        prefix: Which objects.

    Raises:
        StorageError: A folder cannot be read.

    Shutdown:
        At the end, or when the generator is closed, the threads are joined: after the requests in flight, which the
        store bounds in time.
    """
    todo: list[ObjectInfo | _Folder] = [_Folder(prefix, frozenset())]  # what is next comes last
    pool = ThreadPoolExecutor(WALKING_THREADS, thread_name_prefix="listing")
    try:
        while todo:
            entry = todo.pop()
            if isinstance(entry, ObjectInfo):
                yield entry
                continue
            level = entry.level or pool.submit(_read, store, entry.name)
            identity, entries = level.result()
            if identity not in entry.above:
                above = entry.above | {identity}
                todo += [each if isinstance(each, ObjectInfo) else _Folder(each, above) for each in reversed(entries)]
            _read_ahead(store, todo, pool)
    finally:
        pool.shutdown(cancel_futures=True)


def _read_ahead(store: ObjectStore, todo: list[ObjectInfo | _Folder], pool: ThreadPoolExecutor) -> None:
    """Starts to read the next folders."""
    ahead = 0
    for entry in reversed(todo):
        if isinstance(entry, _Folder):
            entry.level = entry.level or pool.submit(_read, store, entry.name)
            ahead += 1
        if ahead == _AHEAD:
            return


def _read(store: ObjectStore, folder: str) -> tuple[Hashable, list[_Entry]]:
    """Returns what tells a folder from all others, and its entries in order."""
    identity = store.folder_identity(folder) if isinstance(store, LocalStore) else folder
    folders, objects = store.list_prefixes(folder)
    return identity, sorted([*folders, *objects], key=_order)


def _order(entry: _Entry) -> str:
    return entry if isinstance(entry, str) else entry.key  # the order of code points is that of their UTF-8 bytes
