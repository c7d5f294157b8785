"""Reads the keys of an index file (a JSON list, or JSON lines), holding no more than a batch of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn

from concurrent_dataloader._base.errors import IndexFileError
from concurrent_dataloader.dataset.json_lines import read_lines
from concurrent_dataloader.dataset.key_batch import LONGEST_KEY_BYTES, KeyBatch

_READ_BYTES = 1 << 20  # one batch: some 20,000 keys of ImageNet's length
_LONGEST_ENTRY_BYTES = 6 * LONGEST_KEY_BYTES  # every byte of it escaped: \u0020

_SPACE = rb"[ \t\r\n]*+"
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_ENTRIES = re.compile(rb"(?:" + _SPACE + _STRING + _SPACE + rb",)*+", re.DOTALL)
_LAST_ENTRY = re.compile(_SPACE + _STRING + _SPACE + rb"\]" + _SPACE, re.DOTALL)
_LEADING_STRING = re.compile(_SPACE + _STRING + _SPACE, re.DOTALL)
_OTHER_VALUE = re.compile(
    _SPACE + rb"(?:(?P<object>\{)|(?P<list>\[)|(?P<number>-?\d)|(?P<boolean>true|false)|(?P<null>null))"
)
_OBJECT_LINE = re.compile(rb'\{[^\n]*"key"[ \t]*:')  # any other object is a file of another kind: the classes, say
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # Windows' editors put it in front of UTF-8
_WANTED = "expected a JSON list of keys (strings), or JSON lines with one key each"


def read_keys(file: BinaryIO, path: Path) -> Iterator[KeyBatch]:
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
    elif first == b'"' or (first == b"{" and _OBJECT_LINE.match(text, start)):
        yield from read_lines(file, path, text[marked:])
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

    def batches(self, text: bytes) -> Iterator[KeyBatch]:
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

    def _parse(self, entries: bytes) -> KeyBatch:
        try:
            keys: list[str] = json.loads("[" + entries.decode() + "]")
        except UnicodeDecodeError as error:
            self._not_json(error.start, "bytes that are no UTF-8")
        except json.JSONDecodeError as error:
            self._not_json(len(error.doc[: error.pos].encode()) - 1, error.msg)
        self._entries += len(keys)
        return KeyBatch(keys)

    def _refuse(self, text: bytes) -> NoReturn:
        """Says what is wrong with a text that should begin with an entry."""
        at = _blanks(text)
        if not self._entries and text[at:].rstrip() == b"]":
            raise IndexFileError(f"{self._path} is an empty list; {_WANTED}")
        if other := _OTHER_VALUE.match(text):
            entry = f"entry {self._entries} (counted from 0)"
            raise IndexFileError(f"{self._path}: {entry} is of type {other.lastgroup}; {_WANTED}")
        if string := _LEADING_STRING.match(text):
            if string.end() > _LONGEST_ENTRY_BYTES:
                self._not_json(at, f"a string of more than {_LONGEST_ENTRY_BYTES} bytes")
            if text[string.end() : string.end() + 1] == b"]":
                behind = string.end() + 1
                self._not_json(behind + _blanks(text[behind:]), "text after the list")
            self._not_json(string.end(), "no ',' or ']' after an entry")
        if text[at : at + 1] == b'"':
            self._not_json(at, "a string that does not end")
        self._not_json(at, "this is no entry" if text[at:] else "the list is not closed")

    def _not_json(self, at: int, reason: str) -> NoReturn:
        raise IndexFileError(f"{self._path} is not JSON at byte {self._position + at}: {reason}; {_WANTED}") from None


def _blanks(text: bytes) -> int:
    return len(text) - len(text.lstrip(b" \t\r\n"))
