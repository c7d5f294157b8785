"""Lists a store for a dataset without an index file, with or without classes from its folders."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from concurrent_dataloader._base.errors import MissingFileError, OptionError
from concurrent_dataloader.dataset.folder_classes import FolderClasses
from concurrent_dataloader.dataset.key_index import KeyIndex
from concurrent_dataloader.dataset.listing import list_objects
from concurrent_dataloader.dataset.listing_process import list_apart
from concurrent_dataloader.storage import ObjectInfo, ObjectStore, ObstoreStore

Suffix = str | Sequence[str] | None


def list_all(store: ObjectStore, prefix: str, suffix: Suffix, limit: int | None = None) -> KeyIndex:
    """Returns the keys below a prefix in the order of their UTF-8 bytes, and the objects' sizes.

    Args:
        store: What to list.
        prefix: Empty, or a path that ends in ``/``.
        suffix: Take only keys that end in it, or in one of several, whatever the case; None takes all.
        limit: Stop after so many.

    Raises:
        MissingFileError: There are none.
    """
    keys = KeyIndex.from_objects(itertools.islice(_matching(_listed(store, prefix)[1], suffix), limit))
    if not keys:
        raise MissingFileError(f"no {_shown(suffix)} in {store.describe(prefix)}")
    return keys


def list_class_folders(store: ObjectStore, prefix: str, suffix: Suffix) -> tuple[KeyIndex, FolderClasses]:
    """Returns keys and classes as ``ImageFolder`` has them: by class, then by folder, then by file name.

    The keys have the objects' sizes. Each folder right below the prefix is a class; what lies beside them is left out.

    Args:
        store: What to list.
        prefix: Empty, or a path that ends in ``/``.
        suffix: Take only keys that end in it, or in one of several, whatever the case; None takes all.

    Raises:
        MissingFileError: There are no folders, or some without a key that matches; they are named.
    """
    folders, objects = _listed(store, prefix)
    names = sorted(folder.removeprefix(prefix).removesuffix("/") for folder in folders)
    if not names:
        raise MissingFileError(f"{store.describe(prefix)} has no folders; expected one for each class")
    found = _by_class(_matching(objects, suffix), prefix)
    if empty := [name for name in names if name not in found]:
        raise MissingFileError(
            f"{store.describe(prefix)}: no {_shown(suffix)} in class folders {', '.join(map(repr, empty[:20]))}"
            f"{f' and {len(empty) - 20} more' if len(empty) > 20 else ''}; fill or remove them"
        )
    keys = KeyIndex.joined(found[name] for name in names)
    classes = FolderClasses(prefix, {name: target for target, name in enumerate(names)})
    return keys, classes


def check_suffix(suffix: Suffix) -> None:
    """Raises OptionError unless it is a string, a sequence of strings, or None."""
    several = _several(suffix) if isinstance(suffix, (str, Sequence, type(None))) else ()
    if several is not None and not (several and all(isinstance(each, str) for each in several)):
        raise OptionError(f"suffix: expected a string such as '.JPEG', a sequence of them, or None, got {suffix!r}")


def _several(suffix: Suffix) -> Sequence[str] | None:
    return (suffix,) if isinstance(suffix, str) else suffix


def _listed(store: ObjectStore, prefix: str) -> tuple[list[str], Iterator[ObjectInfo]]:
    """Returns the folders right below a prefix and what lies below it, at any depth."""
    if isinstance(store, ObstoreStore):  # must not start obstore in a process whose workers may be forked
        return list_apart(store, prefix)
    return store.list_prefixes(prefix)[0], list_objects(store, prefix)


def _matching(objects: Iterator[ObjectInfo], suffix: Suffix) -> Iterator[ObjectInfo]:
    several = _several(suffix)
    if several is None:
        return objects
    endings = tuple(each.lower() for each in several)
    return (each for each in objects if each.key.lower().endswith(endings))


def _by_class(objects: Iterable[ObjectInfo], prefix: str) -> dict[str, KeyIndex]:
    """Packs the objects of each class, in the order in which ``os.walk`` comes by them when its folders are sorted."""

    def class_of(each: ObjectInfo) -> str | None:
        name, slash, _ = each.key[len(prefix) :].partition("/")
        return name if slash else None

    # In the order of bytes all keys of a folder follow one another, so one class at a time is held as objects.
    groups = itertools.groupby(objects, class_of)
    return {name: KeyIndex.from_objects(sorted(group, key=_as_walked)) for name, group in groups if name is not None}


def _as_walked(each: ObjectInfo) -> tuple[str, str]:
    folder, _, name = each.key.rpartition("/")
    return folder, name


def _shown(suffix: Suffix) -> str:
    several = _several(suffix)
    return "objects" if several is None else f"objects that end in {', '.join(several)}"
