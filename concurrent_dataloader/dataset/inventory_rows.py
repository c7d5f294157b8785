"""Reads the rows of an inventory's data files, CSV or Parquet."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, Any
from urllib.parse import unquote_plus

from concurrent_dataloader._base.errors import FileFormatError, OptionError
from concurrent_dataloader.dataset.inventory_manifest import plain
from concurrent_dataloader.storage.protocol import ObjectInfo

UNKNOWN_SIZE = -1  # where the inventory has no column Size
_COLUMNS = ("key", "size", "islatest", "isdeletemarker")


def csv_rows(file: IO[bytes], columns: Sequence[str], name: str) -> Iterator[ObjectInfo]:
    """Yields the objects of a gzipped CSV file: latest versions that are no delete markers.

    Args:
        file: The file.
        columns: The names of its columns, as `plain` has them.
        name: What to call it in messages.

    Raises:
        FileFormatError: It is damaged, or a row is not what it should be; the message names the row.
    """
    key, size, latest, marker = (columns.index(each) if each in columns else None for each in _COLUMNS)
    assert key is not None  # the manifest has been checked
    try:
        with gzip.GzipFile(fileobj=file) as unzipped, io.TextIOWrapper(unzipped, "utf-8", newline="") as text:
            for number, row in enumerate(csv.reader(text, strict=True), start=1):
                if len(row) != len(columns):
                    raise FileFormatError(f"{name}: row {number} has {len(row)} fields; expected {len(columns)}")
                if latest is not None and not _truth(row[latest], name, number):
                    continue
                if marker is not None and _truth(row[marker], name, number):
                    continue
                # A space is a plus sign, a plus sign %2B: keys come as in the body of a web form.
                yield ObjectInfo(unquote_plus(row[key]), _size(row[size] if size is not None else "", name, number))
    except (OSError, EOFError, zlib.error, csv.Error, UnicodeDecodeError) as error:
        raise FileFormatError(f"{name} is a damaged data file: {error}; expected gzipped CSV") from error


def parquet_rows(file: IO[bytes], name: str) -> Iterator[ObjectInfo]:
    """Yields the objects of a Parquet file: latest versions that are no delete markers.

    Args:
        file: The file; seekable.
        name: What to call it in messages.

    Raises:
        OptionError: pyarrow is not installed.
        FileFormatError: It is damaged, or has no column for keys.
    """
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise OptionError(
            f"{name}: reading an inventory in Parquet needs pyarrow: pip install pyarrow (what concurrent-dataloader's "
            "extra 'parquet' installs), or have the inventory written as CSV"
        ) from None
    try:
        table = parquet.ParquetFile(file)
        wanted = {plain(column): column for column in table.schema_arrow.names if plain(column) in _COLUMNS}
        if "key" not in wanted:
            raise FileFormatError(f"{name}: expected a column 'key', got {', '.join(table.schema_arrow.names)}")
        for batch in table.iter_batches(columns=list(wanted.values())):
            yield from _parquet_batch(batch, wanted, name)
    except (ArrowException, OSError) as error:
        raise FileFormatError(f"{name} is a damaged data file: {error}; expected Parquet") from error


def _parquet_batch(batch: Any, wanted: dict[str, str], name: str) -> Iterator[ObjectInfo]:
    count = batch.num_rows
    columns = {each: batch.column(wanted[each]).to_pylist() if each in wanted else None for each in _COLUMNS}
    keys, sizes = columns["key"], columns["size"] or [None] * count
    latest, markers = columns["islatest"] or [True] * count, columns["isdeletemarker"] or [False] * count
    assert keys is not None
    for key, size, is_latest, is_marker in zip(keys, sizes, latest, markers, strict=True):
        if is_latest is not False and not is_marker:
            if not isinstance(key, str):
                raise FileFormatError(f"{name}: column {wanted['key']!r} holds {key!r}; expected strings")
            if not isinstance(size, int | None):
                raise FileFormatError(f"{name}: column {wanted['size']!r} holds {size!r}; expected whole numbers")
            yield ObjectInfo(key, UNKNOWN_SIZE if size is None else size)


def _truth(text: str, name: str, number: int) -> bool:
    if text.lower() not in ("true", "false"):
        raise FileFormatError(f"{name}: row {number} has {text!r}; expected true or false")
    return text.lower() == "true"


def _size(text: str, name: str, number: int) -> int:
    if not text:
        return UNKNOWN_SIZE
    if not (text.isascii() and text.isdigit()):
        raise FileFormatError(f"{name}: row {number} has the size {text!r}; expected a number of bytes")
    return int(text)
