"""The classes file: from a key to its 0-based target."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from concurrent_dataloader._base.errors import ClassesFileError, OptionError
from concurrent_dataloader.dataset.json_object import read_json_object
from concurrent_dataloader.dataset.path_argument import as_path

_log = logging.getLogger(__name__)

_EXPECTED = (
    'expected train classes such as {"n02119789": {"id": 1, "name": "kit_fox"}} '
    'or validation classes such as {"0": 490, "1": 361}'
)
_IMAGE_INDEX = re.compile(r"[0-9]{1,18}")  # as many digits as surely fit 64 bits
_FILE_NUMBER = re.compile(r"([0-9]+)(?:\.[^.]*)?$")  # ILSVRC2012_val_00000001.JPEG


class Classes(Protocol):
    """What a dataset asks of its classes."""

    @property
    def id_base(self) -> int:
        """The class id that is target 0."""
        ...

    def target_of(self, key: str) -> int:
        """Returns the 0-based target of a key."""
        ...


@dataclass(frozen=True)
class TrainClasses:
    """Targets by the prefix of the file name before its last ``_``, wherever the file lies.

    Attributes:
        path: The classes file.
        targets: From prefix (ImageNet's synset) to 0-based target.
        id_base: The class id that is target 0.
    """

    path: Path
    targets: dict[str, int]
    id_base: int

    def target_of(self, key: str) -> int:
        """Returns the 0-based target of a key.

        Raises:
            ClassesFileError: The file name has no class in the file.
        """
        return self.targets[self.entry_of(key)]

    def entry_of(self, key: str) -> str:
        """Returns the entry of the file that a key belongs to: its prefix.

        Raises:
            ClassesFileError: The file name has no class in the file.
        """
        prefix, underscore, _ = key.rpartition("/")[2].rpartition("_")
        if prefix not in self.targets:
            problem = f"no class {prefix!r}" if underscore else "no '_' in the file name, which ends the class's name"
            raise ClassesFileError(f"{key}: {problem} (classes file {self.path})")
        return prefix


@dataclass(frozen=True)
class ValClasses:
    """Targets by the number in the file name.

    Attributes:
        path: The classes file.
        targets: From image index to 0-based target.
        first_index: The index of the image whose file has number 1: 0, or 1 in a one-based file.
        id_base: The class id that is target 0.
    """

    path: Path
    targets: dict[int, int]
    first_index: int
    id_base: int

    def target_of(self, key: str) -> int:
        """Returns the 0-based target of a key.

        Raises:
            ClassesFileError: The file name ends in no number, or its image has no class in the file.
        """
        return self.targets[self.entry_of(key)]

    def entry_of(self, key: str) -> int:
        """Returns the entry of the file that a key belongs to: its image's index.

        Raises:
            ClassesFileError: The file name ends in no number, or its image has no class in the file.
        """
        number = _FILE_NUMBER.search(key.rpartition("/")[2])
        if number is None:
            raise ClassesFileError(f"{key}: no number at the end of the file name (classes file {self.path})")
        index = int(number[1]) - 1 + self.first_index
        if index not in self.targets:
            raise ClassesFileError(f"{key}: no class for image index {index} (classes file {self.path})")
        return index


def load_classes(path: str | os.PathLike[str], class_id_base: int | None = None) -> TrainClasses | ValClasses:
    """Reads a classes file of either shape; the shape is told from its entries.

    Train: ``{"n02119789": {"id": 1, "name": "kit_fox"}, ...}``. Validation: ``{"0": 490, "1": 361, ...}``, from an
    image's index to its class. The index is the file's number less one, or the number if entries run from "1".

    Args:
        path: The file.
        class_id_base: The class id that becomes target 0. None reads it off the file: its smallest id, if that is 0 or
            1. A file of a few images may lack the smallest class: give it the base of the file it was cut from (for
            instance ``train_dataset.class_id_base``).

    Raises:
        OptionError: ``class_id_base`` is no whole number from 0 on.
        MissingFileError: There is no such file.
        ClassesFileError: It has neither shape, or its base cannot be told; the message names file and entry.
    """
    if class_id_base is not None and (type(class_id_base) is not int or class_id_base < 0):
        raise OptionError(f"class_id_base: expected a whole number from 0 on, or None, got {class_id_base!r}")
    path = as_path("classes_file", path)
    entries = read_json_object(path, ClassesFileError, _EXPECTED)
    if not entries:
        raise ClassesFileError(f"{path} has no entries; {_EXPECTED}")
    if isinstance(next(iter(entries.values())), dict):
        ids = {key: _train_id(path, key, entry) for key, entry in entries.items()}
        base = _id_base(path, ids.values(), class_id_base)
        return TrainClasses(path, {key: class_id - base for key, class_id in ids.items()}, base)
    images = {_image_index(path, key): _checked_id(path, key, entry) for key, entry in entries.items()}
    if len(images) < len(entries):
        raise ClassesFileError(f"{path} has two entries for the same image (such as '1' and '01')")
    base = _id_base(path, images.values(), class_id_base)
    targets = {index: class_id - base for index, class_id in images.items()}
    return ValClasses(path, targets, _first_index(path, images), base)


def _train_id(path: Path, key: str, entry: object) -> int:
    if not isinstance(entry, dict) or "id" not in entry:
        raise ClassesFileError(f"{path}: entry {key!r} has no 'id'; {_EXPECTED}")
    return _checked_id(path, key, entry["id"])


def _checked_id(path: Path, key: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ClassesFileError(f"{path}: entry {key!r} has class id {value!r}; expected a whole number from 0 on")
    return value


def _image_index(path: Path, key: str) -> int:
    if not _IMAGE_INDEX.fullmatch(key):
        raise ClassesFileError(f"{path}: entry {key!r} is no image index; {_EXPECTED}")
    return int(key)


def _first_index(path: Path, images: dict[int, int]) -> int:
    first = min(images)
    # From 1 on with gaps may also be a zero-based file without image 0: each image would get its neighbour's class.
    if first == 0 or (first == 1 and max(images) == len(images)):
        return first
    raise ClassesFileError(
        f"{path}: cannot tell whether the images are numbered from 0 or from 1, as the entries begin at {first}"
        f"{' and have gaps' if first == 1 else ''}; expected an entry '0', or entries from '1' on without a gap"
    )


def _id_base(path: Path, ids: Iterable[int], given: int | None) -> int:
    distinct = set(ids)
    smallest = min(distinct)
    if given is not None:
        if smallest < given:
            raise ClassesFileError(f"{path} has class id {smallest}, which is below class_id_base={given}")
        return given
    if smallest > 1:
        raise ClassesFileError(
            f"{path}: cannot tell whether class ids start at 0 or 1, as the smallest is {smallest}; pass class_id_base"
        )
    if smallest == 1 and max(distinct) > len(distinct):
        _log.warning("%s: class ids are taken to start at 1, though some are missing; pass class_id_base if not", path)
    return smallest
