"""An S3 Inventory as the source of an index, for buckets that are too large to list."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Protocol

from concurrent_dataloader._base.errors import FileFormatError, MissingFileError, OptionError
from concurrent_dataloader.dataset.inventory_manifest import DataFile, Manifest, read_manifest
from concurrent_dataloader.dataset.inventory_rows import csv_rows, parquet_rows
from concurrent_dataloader.storage.protocol import ObjectInfo, ObjectStore

_PIECE_BYTES = 8 * 1024 * 1024  # bytes of a data file that one request fetches


class Inventory:
    """The objects that an S3 Inventory tells of.

    Args:
        files: Where manifest and data files lie.

    Attributes:
        manifest: What the manifest says.

    Raises:
        FileFormatError: The manifest is not what it should be.
        MissingFileError: It is not there.
        StorageError: It could not be read.
    """

    def __init__(self, files: InventoryFiles) -> None:
        self._files = files
        try:
            content = json.loads(files.read_manifest())
        except ValueError as error:
            raise FileFormatError(f"{files.name} is no JSON: {error}; expected a manifest.json") from None
        self.manifest: Manifest = read_manifest(content, files.name)

    def check_bucket(self, bucket_name: str) -> None:
        """Raises OptionError unless the inventory is one of that bucket."""
        if bucket_name != self.manifest.source_bucket:
            source = self.manifest.source_bucket
            raise OptionError(
                f"{self._files.name} is an inventory of s3://{source}; expected one of s3://{bucket_name}"
            )

    def objects(self, prefix: str = "") -> Generator[ObjectInfo]:
        """Yields the latest versions that are no delete markers, in no order; markers of folders are left out.

        Args:
            prefix: Only keys that start with it.

        Raises:
            FileFormatError: A data file is damaged, or is not the one that the manifest means (by its MD5).
            MissingFileError: It is not there.
            StorageError: It could not be read.
        """
        for each in self.manifest.files:
            with self._files.open(each) as (file, name):
                _check_md5(file, each, name)
                rows = csv_rows(file, self.manifest.columns, name) if self._in_csv else parquet_rows(file, name)
                yield from (row for row in rows if row.key.startswith(prefix) and not row.key.endswith("/"))

    @property
    def _in_csv(self) -> bool:
        return self.manifest.file_format == "CSV"


class InventoryFiles(Protocol):
    """Where an inventory lies.

    Attributes:
        name: What to call its manifest in messages.
    """

    @property
    def name(self) -> str: ...

    def read_manifest(self) -> bytes:
        """Returns the manifest."""
        ...

    def open(self, wanted: DataFile) -> AbstractContextManager[tuple[IO[bytes], str]]:
        """Opens a data file for a ``with`` block, which gets it, seekable, and its name for messages."""
        ...


class StoredInventory:
    """An inventory in a bucket, where AWS puts it; one data file at a time is copied to a file without a name.

    Args:
        store: The bucket.
        key: The manifest.
    """

    def __init__(self, store: ObjectStore, key: str) -> None:
        self._store, self._key = store, key

    @property
    def name(self) -> str:
        return self._store.describe(self._key)

    def read_manifest(self) -> bytes:
        return self._store.get(self._key)

    @contextmanager
    def open(self, wanted: DataFile) -> Iterator[tuple[IO[bytes], str]]:
        size_bytes = self._store.head(wanted.key).size_bytes
        with tempfile.TemporaryFile(prefix="concurrent-dataloader-") as file:
            for start in range(0, size_bytes, _PIECE_BYTES):
                file.write(self._store.get_range(wanted.key, start, min(start + _PIECE_BYTES, size_bytes)))
            file.seek(0)
            yield file, self._store.describe(wanted.key)


class LocalInventory:
    """An inventory that was copied to local disk: data files are looked for where AWS has them, and beside it.

    Args:
        path: The manifest.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        return str(self._path)

    def read_manifest(self) -> bytes:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            raise MissingFileError(f"there is no inventory manifest {self._path}") from None

    @contextmanager
    def open(self, wanted: DataFile) -> Iterator[tuple[IO[bytes], str]]:
        folder = self._path.absolute().parent
        places = [folder / wanted.name, folder / "data" / wanted.name, folder.parent / "data" / wanted.name]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            where = ", ".join(map(str, places))
            raise MissingFileError(f"{self._path} names the data file {wanted.key}, which is at none of {where}")
        with found.open("rb") as file:
            yield file, str(found)


def _check_md5(file: IO[bytes], wanted: DataFile, name: str) -> None:
    if wanted.md5 is not None:
        digest = hashlib.md5(usedforsecurity=False)
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
        file.seek(0)
        if digest.hexdigest() != wanted.md5:
            raise FileFormatError(
                f"{name} has the MD5 {digest.hexdigest()}; expected {wanted.md5}, as its manifest says"
            )
