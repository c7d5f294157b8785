"""Makes index files of what a store lists: one, or one for each of some folders."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from tqdm import tqdm

from concurrent_dataloader._base.errors import MissingFileError
from concurrent_dataloader.dataset.index_file import write_index
from concurrent_dataloader.dataset.key_filter import KeyFilter
from concurrent_dataloader.dataset.listing import list_objects
from concurrent_dataloader.dataset.page_spool import PageSpool, Ticket
from concurrent_dataloader.storage import LocalStore
from concurrent_dataloader.storage.protocol import ObjectInfo, ObjectStore

_BATCH = 1000  # objects of a folder that are packed together


def listed_for(
    index_files: Iterable[str | os.PathLike[str]], store: ObjectStore, prefix: str, show_progress: bool
) -> Generator[ObjectInfo]:
    """Yields the objects below a prefix, without the index files that are being made of them.

    Args:
        index_files: The files that will be written.
        store: What to list.
        prefix: Where.
        show_progress: Show a progress bar, if standard error is a terminal.
    """
    with closing(with_progress(list_objects(store, prefix), show_progress)) as objects:
        if isinstance(store, LocalStore):
            own = _own_files(store.root, index_files)
            yield from (each for each in objects if not own.fullmatch(each.key))
        else:
            yield from objects


def with_progress(objects: Iterable[ObjectInfo], show: bool) -> Generator[ObjectInfo]:
    """Yields the objects and shows their number and rate on a terminal."""
    # None switches the bar off where standard error is no terminal.
    with tqdm(objects, desc="listing", unit=" objects", unit_scale=True, disable=None if show else True) as bar:
        yield from bar


def index_objects(
    index_file: str | os.PathLike[str], objects: Iterable[ObjectInfo], key_filter: KeyFilter, listed: str
) -> int:
    """Writes those of some objects that a filter chooses into an index file (see `write_index`).

    Returns:
        The number of keys.

    Raises:
        MissingFileError: None of them was chosen; nothing has been written.
    """
    return write_index(index_file, _entries(key_filter.chosen(objects)), listed)


def index_folders(
    index_files: Mapping[str, Path], objects: Iterable[ObjectInfo], key_filter: KeyFilter, prefix: str, listed: str
) -> dict[str, int]:
    """Writes an index file for each of some folders, in one pass over the objects.

    Nothing is written before all objects have come: what fails the listing leaves all old files in place.

    Args:
        index_files: Where to write, by the folder's name; folders without objects are left out.
        objects: Taken one after another; those of no folder are skipped.
        key_filter: Chooses among them; its limit holds for each folder.
        prefix: What the folders are right below: empty, or a path that ends in ``/``.
        listed: What the objects were listed from, for the message if there are none.

    Returns:
        The number of keys, by the folder's name.

    Raises:
        MissingFileError: No folder has an object that was chosen; nothing has been written.
    """
    with closing(PageSpool()) as spool:
        tickets: dict[str, list[Ticket]] = {folder: [] for folder in index_files}
        for folder, batch in _batches(objects, index_files.keys(), key_filter, len(prefix)):
            tickets[folder].append(spool.put(batch))
        if not any(tickets.values()):
            raise MissingFileError(f"no index was written: nothing in {listed} matches in {', '.join(index_files)}")
        return {
            folder: write_index(path, _entries(_unpacked(spool, tickets[folder])), listed)
            for folder, path in index_files.items()
            if tickets[folder]
        }


def path_of_folder(index_file: Path, folder: str) -> Path:
    """Returns where the index of a folder goes: ``index.json`` and ``train`` give ``index-train.json``."""
    stem, dot, suffixes = index_file.name.partition(".")
    return index_file.with_name(f"{stem}-{folder}{dot}{suffixes}")


def _batches(
    objects: Iterable[ObjectInfo], folders: Iterable[str], key_filter: KeyFilter, start: int
) -> Iterator[tuple[str, Sequence[ObjectInfo]]]:
    waiting: dict[str, list[ObjectInfo]] = {folder: [] for folder in folders}
    room = dict.fromkeys(waiting, key_filter.limit)
    for each in objects:
        folder, slash, _ = each.key[start:].partition("/")
        if not slash or folder not in waiting or room[folder] == 0 or not key_filter.takes(each):
            continue
        if (left := room[folder]) is not None:
            room[folder] = left - 1
        waiting[folder].append(each)
        if len(waiting[folder]) == _BATCH:
            yield folder, waiting[folder]
            waiting[folder] = []
        if not any(left is None or left > 0 for left in room.values()):
            break
    yield from ((folder, batch) for folder, batch in waiting.items() if batch)


def _unpacked(spool: PageSpool, tickets: Iterable[Ticket]) -> Iterator[ObjectInfo]:
    for ticket in tickets:
        yield from spool.take(ticket)


def _entries(objects: Iterable[ObjectInfo]) -> Iterator[str | ObjectInfo]:
    """Leaves out the sizes that an inventory did not tell."""
    return (each if each.size_bytes >= 0 else each.key for each in objects)


def _own_files(root: Path, index_files: Iterable[str | os.PathLike[str]]) -> re.Pattern[str]:
    """Matches index files, their packed copies and the parts that are being written, as paths below the root."""
    patterns = []
    for index_file in index_files:
        folder, name = os.path.split(os.path.relpath(os.path.abspath(index_file), root))
        before = re.escape(f"{folder}/" if folder else "")
        patterns.append(rf"{before}(?:{re.escape(name)}(?:\.packed)?|\.{re.escape(name)}\.[0-9a-f]+\.part)")
    return re.compile("|".join(patterns))
