"""The credentials file: keys, bucket, endpoint, and where index and classes files are to be had."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from concurrent_dataloader._base.errors import CredentialsFileError, OptionError
from concurrent_dataloader.dataset.json_object import read_json_object
from concurrent_dataloader.dataset.path_argument import as_path
from concurrent_dataloader.storage import S3Options, StaticCredentials

_log = logging.getLogger(__name__)

DatasetType = Literal["train", "val", "test"]
DATASET_TYPES: tuple[DatasetType, ...] = ("train", "val", "test")
FileKind = Literal["index", "classes"]

_SPELLINGS = (("access_key", "secret"), ("aws_access_key_id", "aws_secret_access_key"))
_PLACE = ("bucket_name", "endpoint_url", "region_name", "addressing_style", "ca_bundle")
_EXPECTED = (
    'expected a JSON object with "access_key" and "secret", or with "aws_access_key_id" and "aws_secret_access_key", '
    'and optionally "bucket_name", "endpoint_url", "region_name", "addressing_style", "ca_bundle", and '
    '"train_index_file_download_url" and its like'
)


_warned: set[Path] = set()  # files whose readers have been warned of in this process


@dataclass(frozen=True, slots=True)
class CredentialsFile:
    """What a credentials file says; its secrets do not show in the repr.

    Attributes:
        path: The file.
        credentials: Its key pair; None if it names only places.
        bucket_name: The bucket, if it names one.
        endpoint_url: The endpoint, if it names one.
        region_name: The region, if it names one.
        addressing_style: ``"auto"``, ``"path"`` or ``"virtual"``, if it names one (see `S3Options`).
        ca_bundle: PEM file of the certificate authorities to trust, if it names one; a path in the file is relative to
            the file's folder.
        download_urls: From the entry's name, such as ``val_classes_file_download_url``, to the URL. Not in the repr: a
            presigned URL is a secret.
    """

    path: Path
    credentials: StaticCredentials | None = None
    bucket_name: str | None = None
    endpoint_url: str | None = None
    region_name: str | None = None
    addressing_style: str | None = None
    ca_bundle: str | None = None
    download_urls: Mapping[str, str] = field(default_factory=dict, repr=False)


def download_entry(dataset_type: DatasetType, kind: FileKind) -> str:
    """Returns the name of the entry that holds a file's URL, such as ``train_index_file_download_url``."""
    return f"{dataset_type}_{kind}_file_download_url"


def load_credentials_file(path: str | os.PathLike[str]) -> CredentialsFile:
    """Reads a credentials file in either spelling; entries that are null or unknown count as not there.

    Keys, or signatures of URLs, that other users may read are warned of, once per file. A file may leave the keys out
    when the AWS chain has them; it then needs at least one other entry.

    Raises:
        MissingFileError: There is no such file.
        CredentialsFileError: An entry is missing, no string, or no bucket or endpoint; the message names file and
            entry, and shows no value.
    """
    path = as_path("s3_credential_file", path)
    entries = read_json_object(path, CredentialsFileError, _EXPECTED)
    urls = [download_entry(split, kind) for split in DATASET_TYPES for kind in ("index", "classes")]
    known = {name for pair in _SPELLINGS for name in pair} | {*_PLACE, *urls}
    texts = {name: _text(path, name, value) for name, value in entries.items() if name in known and value is not None}
    if unknown := sorted(entries.keys() - known):
        _log.warning("%s: entries that are not known are not used: %s", path, ", ".join(unknown))
    if "ca_bundle" in texts:
        texts["ca_bundle"] = str(path.absolute().parent / texts["ca_bundle"])
    credentials = _credentials(path, texts)
    if credentials is not None or any("?" in texts.get(name, "") for name in urls):  # a signature, perhaps
        _warn_of_readers(path)
    if not texts:
        raise CredentialsFileError(f"{path} has none of the known entries; {_EXPECTED}")
    _check_place(path, texts)
    return CredentialsFile(
        path,
        credentials,
        **{name: texts[name] for name in _PLACE if name in texts},
        download_urls={name: texts[name] for name in urls if name in texts},
    )


def _text(path: Path, name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        found = "an empty string" if value == "" else type(value).__name__
        raise CredentialsFileError(f"{path}: entry {name!r} is {found}; expected a non-empty string")
    return value


def _warn_of_readers(path: Path) -> None:
    """Says once per file and process that others may read its keys."""
    real, mode = path.resolve(), path.stat().st_mode
    if os.name != "posix" or not mode & 0o077 or real in _warned:
        return
    _warned.add(real)
    _log.warning("%s holds a secret and other users may read it (mode %03o): chmod 600 it", path, mode & 0o777)


def _check_place(path: Path, texts: Mapping[str, str]) -> None:
    """Refuses here, where the file can still be named, what the store would refuse later."""
    try:
        S3Options(texts.get("bucket_name", "any"), texts.get("endpoint_url"))
    except OptionError as error:  # it begins with the argument's name, which is the entry's, and ends in the value
        raise CredentialsFileError(f"{path}: entry {str(error).partition(', got')[0]}") from None


def _credentials(path: Path, texts: Mapping[str, str]) -> StaticCredentials | None:
    for pair in _SPELLINGS:
        missing = [name for name in pair if name not in texts]
        if not missing:
            return StaticCredentials(texts[pair[0]], texts[pair[1]])
        if len(missing) == 1:
            given = next(name for name in pair if name in texts)
            raise CredentialsFileError(f"{path} has {given!r} but no entry {missing[0]!r}; {_EXPECTED}")
    return None
