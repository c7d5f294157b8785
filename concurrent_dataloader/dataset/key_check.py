"""Checks keys against their classes and their place, reading no object."""

from __future__ import annotations

from concurrent_dataloader._base.errors import ClassesFileError
from concurrent_dataloader.dataset.check_report import Finding, FindingCollector, Wording
from concurrent_dataloader.dataset.classes import TrainClasses, ValClasses
from concurrent_dataloader.dataset.key_index import KeyIndex
from concurrent_dataloader.dataset.pack_format import is_outside

_WORDINGS = {
    "key-outside": Wording(
        "paths lead out of the folder: they are absolute, or have '..'",
        "list the folder again: concurrent-dataloader index FOLDER -o INDEX",
    ),
    "key-without-class": Wording(
        "keys have no class",
        "make the classes file from this index: concurrent-dataloader classes INDEX -o FILE; "
        "or take these keys out of the index: concurrent-dataloader index ... --suffix or --exclude",
    ),
    "class-without-key": Wording(
        "entries of the classes file have no key",
        "list everything again: concurrent-dataloader index; if the index is a part on purpose, this is harmless",
    ),
}


def check_keys(keys: KeyIndex, classes: TrainClasses | ValClasses | None, *, confined: bool) -> list[Finding]:
    """Goes through all keys: some seconds for a million.

    Args:
        keys: The index.
        classes: The classes; None checks none.
        confined: Whether a key may not be absolute nor have a ``..`` part, as for local files.
    """
    found = FindingCollector(_WORDINGS)
    if confined and keys.first_outside is not None:
        for key in keys:
            if is_outside(key):
                found.add("key-outside", key)
    if classes is not None:
        used: set[str] | set[int] = set()
        for key in keys:
            try:
                used.add(classes.entry_of(key))  # type: ignore[arg-type]  # str and str, or int and int
            except ClassesFileError as error:
                found.add("key-without-class", str(error))
        for entry in classes.targets:
            if entry not in used:
                found.add("class-without-key", str(entry))
    return found.findings()
