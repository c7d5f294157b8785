"""ImageNet's own lists of classes: what its kits call the synsets, and how they number them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn, TypeVar

from concurrent_dataloader._base.errors import ClassesFileError, MissingFileError

T = TypeVar("T")

_WORDS_LINE = re.compile(r"(\S+)[ \t]+(\S.*)")
_NUMBERED_LINE = re.compile(r"(\S+)[ \t]+([0-9]+)[ \t]+(\S+)")


def read_synset_words(path: Path) -> dict[str, str]:
    """Reads names from lines such as ``n01440764 tench, Tinca tinca`` (``LOC_synset_mapping.txt``).

    Returns:
        From synset to its first name, with ``_`` for blanks, as ImageNet's development kit writes names: ``kit_fox``.

    Raises:
        MissingFileError: There is no such file.
        ClassesFileError: A line is not of that form, or names a synset again; the message has its number.
    """

    def parse(line: str) -> tuple[str, str]:
        found = _WORDS_LINE.fullmatch(line)
        if found is None:
            raise ValueError("expected a synset and its names, such as 'n01440764 tench, Tinca tinca'")
        return found[1], found[2].split(",")[0].strip().replace(" ", "_")

    return _by_synset(path, parse)


def read_synset_ids(path: Path) -> dict[str, tuple[int, str]]:
    """Reads ids and names from lines such as ``n02119789 1 kit_fox`` (``map_clsloc.txt`` of the development kit).

    These are the ids of ``ILSVRC2012_validation_ground_truth.txt``; they are not in the order of the synsets.

    Returns:
        From synset to its id and its name.

    Raises:
        MissingFileError: There is no such file.
        ClassesFileError: A line is not of that form, or gives a synset or an id again; the message has its number.
    """
    taken: set[int] = set()

    def parse(line: str) -> tuple[str, tuple[int, str]]:
        found = _NUMBERED_LINE.fullmatch(line)
        if found is None:
            raise ValueError("expected a synset, its id and its name, such as 'n02119789 1 kit_fox'")
        class_id = int(found[2])
        if class_id in taken:
            raise ValueError(f"id {class_id} for the second time")
        taken.add(class_id)
        return found[1], (class_id, found[3])

    return _by_synset(path, parse)


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yields the lines of a text file that are not blank, stripped, each with its number from 1 on.

    Raises:
        MissingFileError: There is no such file.
        ClassesFileError: It is no UTF-8 text, or has no line that is not blank.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise MissingFileError(f"there is no file {path}") from None
    except UnicodeDecodeError as error:
        raise ClassesFileError(f"{path} is no UTF-8 text at byte {error.start}") from None
    if not text.strip():
        raise ClassesFileError(f"{path} is empty")
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.strip()


def bad_line(path: Path, number: int, problem: object) -> NoReturn:
    """Raises the error that names a line of a file."""
    raise ClassesFileError(f"{path}, line {number}: {problem}") from None


def _by_synset(path: Path, parse: Callable[[str], tuple[str, T]]) -> dict[str, T]:
    entries: dict[str, T] = {}
    for number, line in read_lines(path):
        try:
            synset, entry = parse(line)
        except ValueError as error:
            bad_line(path, number, f"{error}; got {line[:80]!r}")
        if synset in entries:
            bad_line(path, number, f"synset {synset} for the second time")
        entries[synset] = entry
    return entries
