"""What both datasets do with their files: find them, download what is missing, read them, and choose a cache."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from concurrent_dataloader._base.errors import CredentialsFileError, MissingFileError, OptionError
from concurrent_dataloader.dataset.cache_folder import objects_folder
from concurrent_dataloader.dataset.classes import Classes, load_classes
from concurrent_dataloader.dataset.credentials_file import (
    DATASET_TYPES,
    CredentialsFile,
    DatasetType,
    FileKind,
    download_entry,
)
from concurrent_dataloader.dataset.download import download
from concurrent_dataloader.dataset.index_file import check_index, index_path, load_index
from concurrent_dataloader.dataset.key_index import KeyIndex
from concurrent_dataloader.dataset.path_argument import as_path
from concurrent_dataloader.storage import S3Options, S3Store
from concurrent_dataloader.storage.cache import CachedStore
from concurrent_dataloader.storage.protocol import ObjectStore

PathLike = str | os.PathLike[str]

DEFAULT_CACHE_BYTES = 50_000_000_000  # a third of ImageNet's training set; small beside a training machine's disk

_HOW_TO_MAKE = {
    "index": "make one with the command concurrent-dataloader index, S3Dataset.index_all(...) or "
    "ScratchDataset.index_all(...)",
    "classes": "make one as the README describes, or pass classes_file=None for images alone",
}


def s3_options(file: CredentialsFile | None, *, bucket_name: str | None = None, **given: Any) -> S3Options:
    """Returns where and as whom to ask S3; what is given wins over the credentials file.

    Args:
        file: The credentials file; None without one.
        bucket_name: The bucket, unless the file names it.
        **given: Other fields of `S3Options`; a None counts as not given.

    Raises:
        OptionError: Neither names a bucket, or an option is wrong.
    """
    options: dict[str, Any] = {}
    if file is not None:
        named = ("endpoint_url", "region_name", "addressing_style", "ca_bundle")
        options |= {name: value for name in named if (value := getattr(file, name)) is not None}
    options |= {name: value for name, value in given.items() if value is not None}
    if "ca_bundle" in options:
        options["ca_bundle"] = str(as_path("ca_bundle", options["ca_bundle"]))
    if bucket_name is None and file is not None:
        bucket_name = file.bucket_name
    if bucket_name is None:
        where = f'"bucket_name" of the credentials file {file.path}' if file else "a credentials file"
        raise OptionError(f"bucket_name: expected the name of a bucket, here or in {where}")
    return S3Options(bucket_name, fallback_credentials=file.credentials if file else None, **options)


def read_with_boto3(options: S3Options, bucket_name: str, key: str) -> bytes:
    """Returns an object of any bucket at the place that the options name.

    Through boto3: obstore, once used by a process, does not work in workers that are forked from it.
    """
    return S3Store(dataclasses.replace(options, bucket_name=bucket_name, client="boto3")).get(key)


def load_files(
    index_file: PathLike,
    classes_file: PathLike | None,
    *,
    dataset_type: DatasetType,
    class_id_base: int | None,
    file: CredentialsFile | None,
    read_s3: Callable[[str, str], bytes],
) -> tuple[KeyIndex, Classes | None]:
    """Reads index and classes; those that are not there are downloaded from the credentials file's URLs first.

    Args:
        index_file: The index.
        classes_file: The classes; None for images alone.
        dataset_type: Says which of the credentials file's URLs are meant.
        class_id_base: See `load_classes`.
        file: The credentials file; None without one.
        read_s3: Returns the body of an object, given bucket and key, for ``s3://`` URLs.

    Raises:
        OptionError: There is no such dataset type, or a file is named by something else than a path.
        MissingFileError: A file is not there, and there is no URL for it.
        FileFormatError: A file is not what it should be.
    """
    if dataset_type not in DATASET_TYPES:
        raise OptionError(f"dataset_type: expected one of {', '.join(DATASET_TYPES)}, got {dataset_type!r}")

    def provide(path: PathLike, kind: FileKind, check: Callable[[Path], object]) -> Path:
        path = index_path(path) if kind == "index" else as_path("classes_file", path)
        entry = download_entry(dataset_type, kind)
        url = file.download_urls.get(entry) if file else None
        if file is not None and url is not None:
            try:
                download(url, path, check=check, read_s3=read_s3)
            except CredentialsFileError as error:
                raise CredentialsFileError(f"{file.path}: entry {entry!r}: {error}") from None
        elif not os.path.exists(path):  # unlike Path.exists, it takes a name that is too long for one that is not there
            where = f"the credentials file {file.path}" if file else "a credentials file"
            raise MissingFileError(
                f"there is no {kind} file {path}: {_HOW_TO_MAKE[kind]}, or name its URL as {entry!r} in {where}"
            )
        return path

    keys = load_index(provide(index_file, "index", check_index))
    if classes_file is None:
        return keys, None
    # A base of 0 fits every file: whether the base can be told is no question of the download.
    path = provide(classes_file, "classes", lambda part: load_classes(part, class_id_base=0))
    return keys, load_classes(path, class_id_base)


def with_cache(store: ObjectStore, use_cache: bool, cache_dir: PathLike | None, cache_max_bytes: int) -> ObjectStore:
    """Returns the store, behind a cache on local disk if one is wanted.

    Args:
        store: Where the objects lie.
        use_cache: Whether to keep them on local disk.
        cache_dir: Where; None is ``objects`` in the user's cache folder.
        cache_max_bytes: How many bytes of them at most.
    """
    if not use_cache:
        return store
    folder = objects_folder() if cache_dir is None else as_path("cache_dir", cache_dir)
    return CachedStore(store, cache_dir=folder, max_bytes=cache_max_bytes)
