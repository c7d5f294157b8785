"""Reads one key per line, batch after batch: a JSON string, or an object that may also have the size."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from concurrent_dataloader._base.errors import IndexFileError
from concurrent_dataloader.dataset.key_batch import KeyBatch

_READ_BYTES = 1 << 20  # one batch: some 20,000 keys of ImageNet's length
_LONGEST_LINE_BYTES = 1 << 17  # the longest key, every byte of it escaped (12,288 * 6), and other fields
_WANTED = 'expected one key in double quotes, or {"key": "...", "size": 123} (the size in bytes, if it is known)'


def read_lines(file: BinaryIO, path: Path, start: bytes) -> Iterator[KeyBatch]:
    """Yields the keys of a file of JSON lines; blank lines are passed over, and so are other fields of an object.

    Args:
        file: The file, open for reading, decompressed.
        path: Its name for messages.
        start: Its first bytes, which have been read already.

    Raises:
        IndexFileError: A line is something else; the message names file and line.
    """
    seen = 0
    for lines in _lines(file, path, start):
        entries = [_entry_of(line, seen + at, path) for at, line in enumerate(lines, start=1) if line.strip()]
        sizes = [size for _, size in entries]
        if entries:
            yield KeyBatch([key for key, _ in entries], None if sizes.count(None) == len(sizes) else sizes)
        seen += len(lines)


def _lines(file: BinaryIO, path: Path, text: bytes) -> Iterator[list[bytes]]:
    seen = 0
    while piece := file.read(_READ_BYTES):
        whole, end, text = (text + piece).rpartition(b"\n")
        lines = (whole + end).splitlines()
        seen += len(lines)
        if len(text) > _LONGEST_LINE_BYTES:
            raise IndexFileError(f"{path}: line {seen + 1} has more than {_LONGEST_LINE_BYTES} bytes; {_WANTED}")
        yield lines
    yield text.splitlines()


def _entry_of(line: bytes, number: int, path: Path) -> tuple[str, int | None]:
    try:
        value: Any = json.loads(line.decode())
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, str):
        return value, None
    if not isinstance(value, dict) or not isinstance(value.get("key"), str):
        raise IndexFileError(f"{path}: line {number} is not one key; {_WANTED}")
    size = value.get("size")
    if size is not None and (type(size) is not int or not 0 <= size < 2**63):
        raise IndexFileError(f'{path}: line {number} has the "size" {json.dumps(size)[:60]}; {_WANTED}')
    return value["key"], size
