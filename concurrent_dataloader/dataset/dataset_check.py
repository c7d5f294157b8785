"""Checks that index, classes and objects fit together, before a training run finds out that they do not."""

from __future__ import annotations

import random
from collections.abc import Callable

from concurrent_dataloader._base.errors import OptionError
from concurrent_dataloader.dataset.check_report import CheckReport
from concurrent_dataloader.dataset.classes import TrainClasses, ValClasses
from concurrent_dataloader.dataset.key_check import check_keys
from concurrent_dataloader.dataset.key_index import KeyIndex
from concurrent_dataloader.dataset.object_check import check_objects
from concurrent_dataloader.dataset.pack_format import is_outside
from concurrent_dataloader.storage.local import LocalStore
from concurrent_dataloader.storage.protocol import ObjectStore

# A fault in 0.3 % of the objects shows among so many with a chance of 95 %: 1 - 0.997 ** 1000.
DEFAULT_SAMPLE = 1000
CHECK_THREADS = 32


def check_dataset(
    store: ObjectStore,
    keys: KeyIndex,
    classes: TrainClasses | ValClasses | None = None,
    *,
    sample: int | None = DEFAULT_SAMPLE,
    seed: int = 0,
    threads: int = CHECK_THREADS,
    decode: bool = True,
    on_progress: Callable[[int], object] = lambda objects: None,
) -> CheckReport:
    """Checks all keys against the classes, and reads a random sample of the objects.

    Args:
        store: Where the objects lie. An `S3Store` with the client ``"obstore"`` starts obstore in this process, which
            then cannot be used in workers that are forked from it: take ``"boto3"`` where a loader is to follow.
        keys: The index (see `load_index`).
        classes: The classes (see `load_classes`); None checks none.
        sample: Number of objects to read; None reads all.
        seed: Of the sample: the same seed takes the same objects.
        threads: Reads at once.
        decode: Whether the objects should be images that Pillow can decode.
        on_progress: Called with 1 for each object that was read, in the caller's thread.

    Returns:
        The report; what is wrong with the data is in it, and raises nothing.

    Raises:
        OptionError: ``sample`` or ``threads`` is no number from 1 on.
    """
    for name, value in (("sample", sample), ("threads", threads)):
        if value is not None and (type(value) is not int or value < 1):
            raise OptionError(f"{name}: expected a whole number from 1 on, got {value!r}")
    confined = isinstance(store, LocalStore)
    key_findings = check_keys(keys, classes, confined=confined)
    positions = chosen_positions(len(keys), sample, seed)
    if confined and keys.first_outside is not None:
        positions = [position for position in positions if not is_outside(keys[position])]
    sizes, object_findings = check_objects(
        store, keys, positions, threads=threads, decode=decode, on_progress=on_progress
    )
    return CheckReport(
        keys=len(keys),
        duplicate_keys=keys.count_duplicates(),
        class_entries=None if classes is None else len(classes.targets),
        sampled=len(positions),
        sizes=sizes,
        findings=(*key_findings, *object_findings),
    )


def chosen_positions(keys: int, sample: int | None, seed: int) -> list[int] | range:
    """Returns the positions of a random sample of so many keys, in order; all if they are no more."""
    if sample is None or sample >= keys:
        return range(keys)
    return sorted(random.Random(seed).sample(range(keys), sample))
