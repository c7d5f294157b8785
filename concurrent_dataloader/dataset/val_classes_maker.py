"""Makes the validation classes file from ImageNet's lists."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from concurrent_dataloader._base.errors import ClassesFileError
from concurrent_dataloader.dataset.synset_files import bad_line, read_lines

ValClassesFile = dict[str, int]

_SOLUTION_HEADER = "ImageId,PredictionString"
_IMAGE_NUMBER = re.compile(r"[^,]*?([0-9]+)")
_BOX_FIELDS = 5  # a synset and the four corners of a box


def val_classes_from_ground_truth(path: Path, translate: Mapping[int, int] | None = None) -> ValClassesFile:
    """Reads a list with one class id a line, the first line being image 1 (``ILSVRC2012_validation_ground_truth.txt``).

    Args:
        path: The list.
        translate: From the list's ids to those of the train classes (see `translation`); None takes them as they are.

    Returns:
        From the image's number less one to its class id: ``{"0": 490, "1": 361, ...}``.

    Raises:
        MissingFileError: There is no such file.
        ClassesFileError: A line is no class id, or one that ``translate`` lacks; the message has its number.
    """
    ids: list[int] = []
    for number, line in read_lines(path):
        if number != len(ids) + 1:  # each later image would get its neighbour's class
            bad_line(path, len(ids) + 1, "a blank line between the ids; expected one class id a line")
        if not (line.isascii() and line.isdigit()):
            bad_line(path, number, f"expected a class id, got {line[:80]!r}")
        class_id = int(line)
        if translate is not None:
            if class_id not in translate:
                bad_line(
                    path,
                    number,
                    f"class id {class_id} cannot be translated: the list of ids, or the train classes, lack it",
                )
            class_id = translate[class_id]
        ids.append(class_id)
    return {str(index): class_id for index, class_id in enumerate(ids)}


def val_classes_from_solution(path: Path, ids: Mapping[str, int]) -> ValClassesFile:
    """Reads ``LOC_val_solution.csv``: ``ImageId,PredictionString``, the latter beginning with the image's synset.

    Args:
        path: The file; its order does not matter.
        ids: From synset to class id, those of the train classes.

    Returns:
        From the image's number less one to its class id, in the order of the images.

    Raises:
        MissingFileError: There is no such file.
        ClassesFileError: A line is not of that form, names an image again or a synset that has no id (the message has
            the line's number), or images are missing in between.
    """
    images: dict[int, int] = {}
    for number, line in read_lines(path):
        if number == 1:
            if line != _SOLUTION_HEADER:
                bad_line(path, number, f"expected {_SOLUTION_HEADER!r}, got {line[:80]!r}")
            continue
        image, class_id = _solution(path, number, line, ids)
        if image in images:
            bad_line(path, number, f"image {image} for the second time")
        images[image] = class_id
    expected = range(1, len(images) + 1)
    missing = next((image for image in expected if image not in images), None)
    if missing is not None:
        raise ClassesFileError(f"{path} has {len(images)} images, but none with number {missing}")
    if not images:
        raise ClassesFileError(f"{path} has no images")
    return {str(image - 1): images[image] for image in expected}


def translation(from_ids: Mapping[str, tuple[int, str]], to_ids: Mapping[str, int]) -> dict[int, int]:
    """Returns the step from one numbering of synsets to another, for the synsets that both know.

    Args:
        from_ids: See `read_synset_ids`.
        to_ids: From synset to class id, those of the train classes.
    """
    return {number: to_ids[synset] for synset, (number, _) in from_ids.items() if synset in to_ids}


def _solution(path: Path, number: int, line: str, ids: Mapping[str, int]) -> tuple[int, int]:
    name, comma, boxes = line.partition(",")
    image, fields = _IMAGE_NUMBER.fullmatch(name), boxes.split()
    if not comma or image is None or not fields:
        bad_line(
            path,
            number,
            f"expected an image and its synset, as 'ILSVRC2012_val_00000001,n01751748 …', got {line[:80]!r}",
        )
    synsets = set(fields[::_BOX_FIELDS])
    if len(synsets) > 1:
        bad_line(path, number, f"expected one synset for all boxes, got {', '.join(sorted(synsets))}")
    (synset,) = synsets
    if synset not in ids:
        bad_line(path, number, f"synset {synset} is not in the train classes")
    return int(image[1]), ids[synset]
