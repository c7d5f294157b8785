"""Where a command works: a bucket of some provider or a local folder, and the options that go with a bucket."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from concurrent_dataloader._base.errors import OptionError
from concurrent_dataloader.dataset.credentials_file import load_credentials_file
from concurrent_dataloader.dataset.dataset_files import s3_options
from concurrent_dataloader.dataset.store_uri import open_store
from concurrent_dataloader.storage import LocalStore, ObjectStore, S3Store
from concurrent_dataloader.storage.scrub import shown_uri

_EXPECTED = "expected s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or a local folder"
_OTHER_SCHEMES = ("gs", "az", "https", "http", "file")
_OPTIONS = ("endpoint_url", "region_name", "s3_credential_file", "unsigned", "ca_bundle", "account_name")


def add_place_arguments(parser: ArgumentParser) -> None:
    """Adds the options that say how a bucket is reached."""
    group = parser.add_argument_group("how a bucket is reached")
    group.add_argument(
        "--endpoint-url", metavar="URL", help="https://host[:port] of an S3-compatible store, or of an emulator"
    )
    group.add_argument("--region", dest="region_name", metavar="NAME", help="s3: the region to sign for")
    group.add_argument("--s3-credential-file", metavar="FILE", help="s3: JSON file with keys, endpoint and region")
    group.add_argument("--account-name", metavar="NAME", help="az: storage account ($AZURE_STORAGE_ACCOUNT_NAME)")
    group.add_argument("--unsigned", action="store_true", help="send no credentials, for public buckets")
    group.add_argument("--ca-bundle", metavar="FILE", help="PEM file of the certificate authorities to trust")


def in_bucket(location: str) -> bool:
    """Returns whether a location is in a bucket rather than on local disk."""
    return "://" in location


def open_place(
    location: str, arguments: Namespace, *, bucket_elsewhere: bool = False, **more: Any
) -> tuple[ObjectStore, str]:
    """Returns the store that a location names, and the prefix in it: empty, or a path that ends in ``/``.

    Args:
        location: ``s3://bucket/prefix``, the prefix being taken as a folder with or without a ``/`` at its end;
            another URI, as `ObjectDataset.from_uri` takes it; or the path of a local folder, whose keys are then
            relative to it.
        arguments: What `add_place_arguments` asked for.
        bucket_elsewhere: The options go with a bucket that another argument names, so they may be there for a folder.
        **more: Other fields of `S3Options`, for ``s3``.

    Raises:
        OptionError: The location is none of these, or an option does not go with it; the message names it.
    """
    if not in_bucket(location):
        return _local(location, location, arguments, bucket_elsewhere), ""
    if location.partition("://")[0] in _OTHER_SCHEMES:
        return _other(location, arguments, bucket_elsewhere)
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
    if arguments.account_name is not None:
        raise OptionError(f"--account-name goes with az://container alone, not with s3://{bucket_name}")
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


def _other(location: str, arguments: Namespace, bucket_elsewhere: bool) -> tuple[ObjectStore, str]:
    given = {name: getattr(arguments, name) or None for name in _OPTIONS}
    if location.startswith("file://"):
        store, prefix = open_store(location)
        assert isinstance(store, LocalStore)
        return _local(location, store.root, arguments, bucket_elsewhere), prefix
    return open_store(location, **given)


def _local(location: str, folder: str | Path, arguments: Namespace, bucket_elsewhere: bool) -> LocalStore:
    for name in _OPTIONS:
        if getattr(arguments, name) and not bucket_elsewhere:
            flag = "region" if name == "region_name" else name.replace("_", "-")
            raise OptionError(
                f"--{flag} goes with a bucket, such as s3://bucket/prefix; {location!r} is a local folder"
            )
    if not Path(folder).is_dir():
        raise OptionError(f"{location!r} is no folder; {_EXPECTED}")
    return LocalStore(folder)
