"""Opens the store that a URI names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypedDict, Unpack
from urllib.request import url2pathname

from concurrent_dataloader._base.errors import OptionError
from concurrent_dataloader.dataset.credentials_file import load_credentials_file
from concurrent_dataloader.dataset.dataset_files import PathLike, s3_options
from concurrent_dataloader.dataset.path_argument import as_path
from concurrent_dataloader.storage import LocalStore, ObjectOptions, ObjectStore, ObstoreStore, S3Store
from concurrent_dataloader.storage.options import AddressingStyle, ClientName, is_bucket_name
from concurrent_dataloader.storage.scrub import shown_uri

_EXPECTED = (
    "expected s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, http(s)://host/path or file:///path"
)


# A key may hold "?" and "=", but with these words it is a signed URL of Azure, Google or AWS under another scheme.
_SIGNED = re.compile(r"\?.*(?i:\b(sig|signature|x-(amz|goog)-signature)=)", re.DOTALL)


class StoreOptions(TypedDict, total=False):
    """How a store is reached; None counts as not given.

    Attributes:
        endpoint_url: ``https://host[:port]`` of an S3-compatible store, or of a private endpoint or an emulator of
            Google's or Azure's (``s3``, ``gs``, ``az``).
        unsigned: Send requests without credentials, for public data (``s3``, ``gs``, ``az``).
        ca_bundle: PEM file of the certificate authorities to trust, for a private one (all but ``file``).
        account_name: Azure's storage account; None is ``AZURE_STORAGE_ACCOUNT_NAME`` (``az``).
        s3_credential_file: As for `S3Dataset` (``s3``).
        region_name: As for `S3Dataset` (``s3``).
        client: As for `S3Dataset` (``s3``).
        addressing_style: As for `S3Dataset` (``s3``).
    """

    endpoint_url: str | None
    unsigned: bool | None
    ca_bundle: PathLike | None
    account_name: str | None
    s3_credential_file: PathLike | None
    region_name: str | None
    client: ClientName | None
    addressing_style: AddressingStyle | None


_PROVIDER = ("endpoint_url", "unsigned", "ca_bundle")
_GOES_WITH: dict[str, tuple[str, ...]] = {
    "s3": (*_PROVIDER, "s3_credential_file", "region_name", "client", "addressing_style"),
    "gs": _PROVIDER,
    "az": (*_PROVIDER, "account_name"),
    "https": ("ca_bundle",),
    "http": (),
    "file": (),
}


def open_store(uri: str, **options: Unpack[StoreOptions]) -> tuple[ObjectStore, str]:
    """Returns the store of a URI and the prefix in it: empty, or a path that ends in ``/``.

    Keys of ``s3``, ``gs`` and ``az`` begin at the bucket; those of ``http``, ``https`` and ``file`` below the URI.

    Raises:
        OptionError: The URI, or an option, is wrong, or they do not go together.
    """
    scheme, separator, rest = uri.partition("://") if isinstance(uri, str) else ("", "", "")
    if not separator or scheme not in _GOES_WITH:
        raise OptionError(f"uri: {_EXPECTED}, got {shown_uri(uri)}")
    if _SIGNED.search(rest):
        raise OptionError(f"uri: {_EXPECTED}, got one with a signature, which belongs to the credentials")
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    for name in given.keys() - set(_GOES_WITH[scheme]):
        raise OptionError(f"{name}: does not go with {scheme}://; expected {_shown(_GOES_WITH[scheme])}")
    if scheme == "s3":
        return s3_store(uri, **given)
    if scheme == "file":
        return LocalStore(_local_folder(uri)), ""
    if "ca_bundle" in given:
        given["ca_bundle"] = str(as_path("ca_bundle", given["ca_bundle"]))
    if scheme in ("http", "https"):
        return ObstoreStore(ObjectOptions(uri, **given)), ""
    container, _, prefix = rest.partition("/")
    return ObstoreStore(ObjectOptions(f"{scheme}://{container}", **given)), _as_folder(prefix)


def s3_store(uri: str, *, s3_credential_file: PathLike | None = None, **options: Any) -> tuple[S3Store, str]:
    """Returns the store of ``s3://bucket/prefix`` and the prefix: empty, or a path that ends in ``/``.

    Args:
        uri: The URI.
        s3_credential_file: Credentials file; None without one.
        **options: Fields of `S3Options`; a None counts as not given.

    Raises:
        OptionError: The URI names no bucket, or an option is wrong.
    """
    if not isinstance(uri, str) or not uri.startswith("s3://"):
        raise OptionError(f"uri: expected s3://bucket/prefix, got {shown_uri(uri)}")
    bucket_name, _, prefix = uri.removeprefix("s3://").partition("/")
    if not is_bucket_name(bucket_name):
        raise OptionError(f"uri: expected s3://bucket/prefix, got {shown_uri(uri)}, which names no bucket")
    file = None if s3_credential_file is None else load_credentials_file(s3_credential_file)
    return S3Store(s3_options(file, bucket_name=bucket_name, **options)), _as_folder(prefix)


def _as_folder(prefix: str) -> str:
    return prefix if not prefix or prefix.endswith("/") else f"{prefix}/"


def _local_folder(uri: str) -> Path:
    host, slash, path = uri.removeprefix("file://").partition("/")
    if host not in ("", "localhost") or not slash or "?" in path or "#" in path:
        raise OptionError(f"uri: expected file:///path of an absolute folder, got {shown_uri(uri)}")
    return as_path("uri", url2pathname(f"/{path}"))


def _shown(names: tuple[str, ...]) -> str:
    return f"no other than {', '.join(names)}" if names else "none of the store's options"
