"""Lists a store through obstore, exactly: obstore knows paths where stores know keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from concurrent_dataloader._base.errors import ObjectNotFound
from concurrent_dataloader.storage.obstore_objects import ObstoreObjects
from concurrent_dataloader.storage.protocol import Level, ObjectInfo

PAGE_SIZE = 1000  # entries that obstore hands on in one piece; the providers answer with up to 1,000 or 5,000


def list_objects(objects: ObstoreObjects, prefix: str) -> list[ObjectInfo]:
    """Returns every object whose key starts with a prefix, in the order of their UTF-8 bytes."""
    import obstore

    folder = _folder_of(prefix)

    def read(store: Any) -> list[ObjectInfo]:
        pages = obstore.list(store, folder or None, chunk_size=PAGE_SIZE)
        return [each for page in pages for each in _described(page) if each.key.startswith(prefix)]

    return _without_markers(objects, objects.list_through(prefix, read))


def list_level(objects: ObstoreObjects, prefix: str) -> Level:
    """Returns one level below a prefix: the common prefixes (each ends in ``/``) and the objects, both in order."""
    import obstore

    folder = _folder_of(prefix)
    level: Any = objects.list_through(prefix, lambda store: obstore.list_with_delimiter(store, folder or None))
    prefixes = [f"{each}/" for each in level["common_prefixes"] if f"{each}/".startswith(prefix)]
    below = [each for each in _described(level["objects"]) if each.key.startswith(prefix)]
    return sorted(prefixes, key=str.encode), _without_markers(objects, below)


def _described(page: Iterable[Mapping[str, Any]]) -> list[ObjectInfo]:
    return [ObjectInfo(each["path"], int(each["size"])) for each in page]


def _without_markers(objects: ObstoreObjects, found: list[ObjectInfo]) -> list[ObjectInfo]:
    """Leaves out the markers of folders: for ``a/`` obstore lists ``a``, which may be another object, or none."""
    kept: dict[str, ObjectInfo] = {}
    for each in sorted(found, key=lambda info: info.key.encode()):
        if each.size_bytes > 0 or (each.key not in kept and _is_empty_object(objects, each.key)):
            kept[each.key] = each
    return list(kept.values())


def _is_empty_object(objects: ObstoreObjects, key: str) -> bool:
    try:
        return objects.head(key).size_bytes == 0
    except ObjectNotFound:
        return False


def _folder_of(prefix: str) -> str:
    return prefix[: prefix.rfind("/") + 1]
