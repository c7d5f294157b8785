"""Puts files that a command has made into a bucket."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from concurrent_dataloader._base.errors import OptionError
from concurrent_dataloader.command_line.place import open_object

MAX_UPLOAD_BYTES = 5 * 1024**3  # what S3 takes in one piece
_EXPECTED = "expected s3://bucket/key, or s3://bucket/folder/ for files under their own names"


def check_upload(url: str, several: bool, location: str | None) -> None:
    """Checks where files are to go to, before the work begins.

    Args:
        url: ``s3://bucket/key`` or ``s3://bucket/folder/``.
        several: Whether there may be more than one file.
        location: What is listed, if anything is.

    Raises:
        OptionError: It is neither, or several files would get the same key, or the options that say how a bucket is
            reached would be meant for two stores.
    """
    bucket, slash, key = url.removeprefix("s3://").partition("/")
    if not url.startswith("s3://") or not bucket or not slash:
        raise OptionError(f"--upload: {_EXPECTED}, got {url!r}")
    if location is not None and location.startswith(("gs://", "az://")):
        raise OptionError(
            f"--upload: goes with s3:// and local folders; put the index of {location} beside its objects with the "
            "provider's own tool"
        )
    if several and key and not key.endswith("/"):
        raise OptionError(f"--upload: expected s3://bucket/folder/ for several files, got {url!r}")


def upload(path: Path, arguments: Namespace) -> str:
    """Puts a file where ``arguments.upload`` says.

    Returns:
        Where it is now.

    Raises:
        OptionError: The file is too large for one request.
        StorageError: The upload failed.
    """
    store, key = open_object(arguments.upload, arguments, _EXPECTED)
    if (size_bytes := path.stat().st_size) > MAX_UPLOAD_BYTES:
        raise OptionError(f"--upload: {path} has {size_bytes:,} bytes; expected at most {MAX_UPLOAD_BYTES:,}: gzip it")
    if not key or key.endswith("/"):
        key += path.name
    store.put(key, path.read_bytes())
    return store.describe(key)
