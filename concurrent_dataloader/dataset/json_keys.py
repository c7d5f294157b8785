"""Reads a JSON list of keys, or one key per line, batch after batch, holding no more than a batch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn

from concurrent_dataloader._base.errors import IndexFileError

_READ_BYTES = 1 << 20  # one batch: some 20,000 keys of ImageNet's length
_LONGEST_ENTRY_BYTES = 1 << 16  # S3's keys have at most 1024 bytes, Linux's paths 4096; escaped, six times as much

_SPACE = rb"[ \t\r\n]*+"
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_ENTRIES = re.compile(rb"(?:" + _SPACE + _STRING + _SPACE + rb",)*+", re.DOTALL)
_LAST_ENTRY = re.compile(_SPACE + _STRING + _SPACE + rb"\]" + _SPACE, re.DOTALL)
_LEADING_STRING = re.compile(_SPACE + _STRING + _SPACE, re.DOTALL)
_OTHER_VALUE = re.compile(
    _SPACE + rb"(?:(?P<object>\{)|(?P<list>\[)|(?P<number>-?\d)|(?P<boolean>true|false)|(?P<null>null))"
)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # Windows' editors put it in front of UTF-8
_WANTED = "expected a JSON list of keys (strings), or lines with one key in double quotes each"


def read_keys(file: BinaryIO, path: Path) -> Iterator[list[str]]:
    """Yields the keys of an index file in batches.

    Args:
        file: The file, open for reading, decompressed.
        path: Its name for messages.

    Raises:
        IndexFileError: It is not JSON, or holds something else than keys; the message names file, and entry or byte.
    """
    text = file.read(_READ_BYTES)
    marked = len(_BYTE_ORDER_MARK) if text.startswith(_BYTE_ORDER_MARK) else 0
    start = marked + _blanks(text[marked:])
    first = text[start : start + 1]
    if first == b"[":
        yield from _ListReader(file, path, start + 1).batches(text[start + 1 :])
    elif first == b'"':
        yield from _line_batches(file, path, text[marked:])
    else:
        other = _OTHER_VALUE.match(text, start)
        problem = f"holds JSON of type {other.lastgroup}" if other else f"is not JSON at byte {start}"
        raise IndexFileError(f"{path} {problem if first else 'is empty'}; {_WANTED}")


class _ListReader:
    """A JSON list, cut behind the last whole entry of each piece; json then reads the entries at its full speed."""

    def __init__(self, file: BinaryIO, path: Path, position: int) -> None:
        self._file, self._path = file, path
        self._position = position  # byte of the file at which the text at hand begins
        self._entries = 0

    def batches(self, text: bytes) -> Iterator[list[str]]:
        while True:
            whole = _ENTRIES.match(text)
            if whole and whole.end():
                yield self._parse(text[: whole.end() - 1])
                self._position += whole.end()
                text = text[whole.end() :]
            if len(text) > _LONGEST_ENTRY_BYTES:
                self._refuse(text)
            piece = self._file.read(_READ_BYTES)
            if not piece:
                break
            text += piece
        if not _LAST_ENTRY.fullmatch(text):
            self._refuse(text)
        yield self._parse(text[: text.rindex(b"]")])

    def _parse(self, entries: bytes) -> list[str]:
        try:
            keys: list[str] = json.loads("[" + entries.decode() + "]")
        except UnicodeDecodeError as error:
            self._not_json(error.start, "bytes that are no UTF-8")
        except json.JSONDecodeError as error:
            self._not_json(len(error.doc[: error.pos].encode()) - 1, error.msg)
        self._entries += len(keys)
        return keys

    def _refuse(self, text: bytes) -> NoReturn:
        """Says what is wrong with a text that should begin with an entry."""
        at = _blanks(text)
        if not self._entries and text[at:].rstrip() == b"]":
            raise IndexFileError(f"{self._path} is an empty list; {_WANTED}")
        if other := _OTHER_VALUE.match(text):
            entry = f"entry {self._entries} (counted from 0)"
            raise IndexFileError(f"{self._path}: {entry} is of type {other.lastgroup}; {_WANTED}")
        if string := _LEADING_STRING.match(text):
            if text[string.end() : string.end() + 1] == b"]":
                behind = string.end() + 1
                self._not_json(behind + _blanks(text[behind:]), "text after the list")
            self._not_json(string.end(), "no ',' or ']' after an entry")
        self._not_json(at, "this is no entry" if text[at:] else "the list is not closed")

    def _not_json(self, at: int, reason: str) -> NoReturn:
        raise IndexFileError(f"{self._path} is not JSON at byte {self._position + at}: {reason}; {_WANTED}") from None


def _line_batches(file: BinaryIO, path: Path, text: bytes) -> Iterator[list[str]]:
    """JSON lines; blank ones are passed over."""
    seen = 0
    lines = (text + file.readline()).splitlines()
    while lines:
        yield [_key_of_line(line, seen + at, path) for at, line in enumerate(lines, start=1) if line.strip()]
        seen += len(lines)
        lines = file.readlines(_READ_BYTES)


def _key_of_line(line: bytes, number: int, path: Path) -> str:
    try:
        key = json.loads(line.decode())
    except ValueError:
        key = None
    if not isinstance(key, str):
        raise IndexFileError(f"{path}: line {number} is not one key in double quotes; {_WANTED}")
    return key


def _blanks(text: bytes) -> int:
    return len(text) - len(text.lstrip(b" \t\r\n"))
