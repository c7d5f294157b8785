"""The manifest of an S3 Inventory: which data files it has, and what their columns are.

Source: "Inventory manifest" and "Amazon S3 Inventory list" in the Amazon S3 User Guide.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from concurrent_dataloader._base.errors import FileFormatError

_EXPECTED = "expected the manifest.json of an S3 Inventory"


@dataclass(frozen=True, slots=True)
class DataFile:
    """One data file of an inventory.

    Attributes:
        key: Its key in the inventory's bucket.
        md5: MD5 of its bytes in hex; None where the manifest does not tell.
    """

    key: str
    md5: str | None

    @property
    def name(self) -> str:
        """The last part of the key."""
        return PurePosixPath(self.key).name


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest says.

    Attributes:
        source_bucket: The bucket whose objects are listed.
        file_format: ``"CSV"`` or ``"Parquet"``.
        columns: Names of a CSV file's columns, in order, in lower case without underscores; empty for Parquet.
        files: The data files.
    """

    source_bucket: str
    file_format: str
    columns: tuple[str, ...]
    files: tuple[DataFile, ...]


def plain(column: str) -> str:
    """Returns a column's name as both formats share it: CSV has ``IsLatest``, Parquet ``is_latest``."""
    return column.strip().lower().replace("_", "")


def read_manifest(content: object, name: str) -> Manifest:
    """Checks a manifest.

    Args:
        content: The manifest's JSON.
        name: What to call it in messages.

    Raises:
        FileFormatError: An entry is missing or is not what it should be; the message names it.
    """
    if not isinstance(content, dict):
        raise FileFormatError(f"{name} does not hold a JSON object; {_EXPECTED}")
    bucket, file_format, schema = (
        _text(content, entry, name) for entry in ("sourceBucket", "fileFormat", "fileSchema")
    )
    if file_format not in ("CSV", "Parquet"):
        remedy = "have the inventory written as one of them" if file_format == "ORC" else _EXPECTED
        raise FileFormatError(f"{name}: fileFormat is {file_format!r}; expected CSV or Parquet: {remedy}")
    columns = tuple(map(plain, schema.split(","))) if file_format == "CSV" else ()
    names = columns or tuple(map(plain, re.findall(r"(\w+)\s*(?:\([^)]*\)\s*)?;", schema)))
    if "key" not in names:
        raise FileFormatError(f"{name}: fileSchema has no column Key: {schema!r}")
    files = content.get("files")
    if not isinstance(files, list) or not files:
        raise FileFormatError(f"{name}: files is {type(files).__name__}; expected a list of at least one data file")
    return Manifest(bucket, file_format, columns, tuple(_data_file(each, at, name) for at, each in enumerate(files)))


def _data_file(entry: object, at: int, name: str) -> DataFile:
    key = entry.get("key") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(key, str) or not key:
        raise FileFormatError(f"{name}: files, entry {at} (counted from 0) has no key; {_EXPECTED}")
    md5 = entry.get("MD5checksum")
    return DataFile(key, md5.lower() if isinstance(md5, str) and md5 else None)


def _text(content: dict[object, object], entry: str, name: str) -> str:
    value = content.get(entry)
    if not isinstance(value, str) or not value:
        raise FileFormatError(f"{name}: entry {entry!r} is {value!r}; expected a string: {_EXPECTED}")
    return value
