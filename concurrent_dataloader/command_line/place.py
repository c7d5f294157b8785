"""Where a command works: ``s3://bucket/prefix`` or a local folder, and the options that go with a bucket."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from concurrent_dataloader._base.errors import OptionError
from concurrent_dataloader.dataset.credentials_file import load_credentials_file
from concurrent_dataloader.dataset.dataset_files import s3_options
from concurrent_dataloader.storage import LocalStore, S3Store
from concurrent_dataloader.storage.scrub import shown_uri

_EXPECTED = "expected s3://bucket/prefix or a local folder"


def add_place_arguments(parser: ArgumentParser) -> None:
    """Adds the options that say how a bucket is reached."""
    group = parser.add_argument_group("how a bucket is reached")
    group.add_argument("--endpoint-url", metavar="URL", help="https://host[:port] of an S3-compatible store")
    group.add_argument("--region", dest="region_name", metavar="NAME", help="the region to sign for")
    group.add_argument("--s3-credential-file", metavar="FILE", help="JSON file with keys, endpoint and region")
    group.add_argument("--unsigned", action="store_true", help="send no credentials, for public buckets")
    group.add_argument("--ca-bundle", metavar="FILE", help="PEM file of the certificate authorities to trust")


def in_bucket(location: str) -> bool:
    """Returns whether a location is in a bucket rather than on local disk."""
    return "://" in location


def open_place(
    location: str, arguments: Namespace, *, bucket_elsewhere: bool = False, **more: Any
) -> tuple[S3Store | LocalStore, str]:
    """Returns the store that a location names, and the prefix in it: empty, or a path that ends in ``/``.

    Args:
        location: ``s3://bucket/prefix``, the prefix being taken as a folder with or without a ``/`` at its end;
            or the path of a local folder, whose keys are then relative to it.
        arguments: What `add_place_arguments` asked for.
        bucket_elsewhere: The options go with a bucket that another argument names, so they may be there for a folder.
        **more: Other fields of `S3Options`.

    Raises:
        OptionError: The location is neither, or an option does not go with it; the message names it.
    """
    if not in_bucket(location):
        return _local(location, arguments, bucket_elsewhere), ""
    store, prefix = open_object(location, arguments, _EXPECTED, **more)
    return store, prefix if not prefix or prefix.endswith("/") else f"{prefix}/"


def open_object(location: str, arguments: Namespace, expected: str, **more: Any) -> tuple[S3Store, str]:
    """Returns the store of ``s3://bucket/key``, and the key as it stands.

    Args:
        location: Where.
        arguments: What `add_place_arguments` asked for.
        expected: What should have been given, for the message.
        **more: Other fields of `S3Options`.

    Raises:
        OptionError: The location names no bucket of S3, or an option is wrong.
    """
    scheme, _, rest = location.partition("://")
    bucket_name, _, key = rest.partition("/")
    if scheme != "s3" or not bucket_name:
        raise OptionError(f"{shown_uri(location)}: {expected}")
    file = None if arguments.s3_credential_file is None else load_credentials_file(arguments.s3_credential_file)
    options = s3_options(
        file,
        bucket_name=bucket_name,
        endpoint_url=arguments.endpoint_url,
        region_name=arguments.region_name,
        unsigned=arguments.unsigned,
        ca_bundle=arguments.ca_bundle,
        **more,
    )
    return S3Store(options), key


def _local(location: str, arguments: Namespace, bucket_elsewhere: bool) -> LocalStore:
    for name in ("endpoint_url", "region_name", "s3_credential_file", "unsigned", "ca_bundle"):
        if getattr(arguments, name) and not bucket_elsewhere:
            flag = "region" if name == "region_name" else name.replace("_", "-")
            raise OptionError(f"--{flag} goes with s3://bucket/prefix alone, and {location!r} is a local folder")
    if not Path(location).is_dir():
        raise OptionError(f"{location!r} is no folder; {_EXPECTED}")
    return LocalStore(location)
