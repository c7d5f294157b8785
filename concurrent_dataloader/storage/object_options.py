"""What a store of another kind than S3 is told: Google Cloud Storage, Azure Blob Storage, or a web server."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Literal, cast

from concurrent_dataloader._base.errors import OptionError
from concurrent_dataloader.storage.request_options import RequestOptions, check_endpoint_url
from concurrent_dataloader.storage.scrub import shown_uri

Provider = Literal["gs", "az", "http"]

_BUCKET = re.compile(r"(gs|az)://([A-Za-z0-9$][A-Za-z0-9._-]*)")  # "$web" and "$root" are containers of Azure
_EXPECTED = "expected gs://bucket, az://container, https://host[:port][/path] or http://host[:port][/path]"


@dataclass(frozen=True, slots=True)
class ObjectOptions(RequestOptions):
    """The configuration of an `ObstoreStore`: all that is pickled of it.

    Args:
        uri: ``gs://bucket``, ``az://container``, or ``https://host[:port][/path]``, below which keys are paths. Plain
            HTTP is spoken only where this, or ``endpoint_url``, says ``http://``.
        endpoint_url: Where ``gs`` or ``az`` is reached, for an emulator or a private endpoint. None: what
            ``GOOGLE_BASE_URL`` or ``AZURE_STORAGE_ENDPOINT`` names, else the provider's own address.
        account_name: Azure's storage account. None: what ``AZURE_STORAGE_ACCOUNT_NAME`` names.
        unsigned: True sends requests without credentials, for public data.

    The limits of a request and ``ca_bundle`` are those of `RequestOptions`.

    Raises:
        OptionError: An argument is wrong; the message names it and what was expected.
    """

    uri: str
    endpoint_url: str | None = None
    account_name: str | None = None
    unsigned: bool = False

    def __post_init__(self) -> None:
        _check_uri(self.uri)
        self._resolve("endpoint_url", {"gs": "GOOGLE_BASE_URL", "az": "AZURE_STORAGE_ENDPOINT"})
        self._resolve("account_name", {"az": "AZURE_STORAGE_ACCOUNT_NAME"})
        if self.provider == "az" and self.account_name is None:
            raise OptionError(
                f"account_name: expected the storage account of {self.uri}, here or in AZURE_STORAGE_ACCOUNT_NAME"
            )
        if self.provider == "http" and self.unsigned:
            raise OptionError(f"unsigned: requests to {self.uri} are never signed; leave it out")
        if self.endpoint_url is not None:
            check_endpoint_url(self.endpoint_url)
        self.check_requests()

    @property
    def provider(self) -> Provider:
        """Which kind of store it is; ``"http"`` for both ``http://`` and ``https://``."""
        scheme = self.uri.partition("://")[0]
        return "http" if scheme == "https" else cast(Provider, scheme)

    @property
    def container(self) -> str:
        """Google's bucket or Azure's container."""
        return self.uri.partition("://")[2]

    def _resolve(self, name: str, variables: dict[Provider, str]) -> None:
        """Takes from the environment what was not given: it names the store, also to a cache and to other processes."""
        given = getattr(self, name)
        if given is not None and self.provider not in variables:
            raise OptionError(f"{name}: does not go with {self.uri}; leave it out")
        if given is None and self.provider in variables:
            object.__setattr__(self, name, os.environ.get(variables[self.provider]) or None)


def _check_uri(uri: str) -> None:
    if not isinstance(uri, str):
        raise OptionError(f"uri: {_EXPECTED}, got {type(uri).__name__}")
    if not uri.lower().startswith(("http://", "https://")):
        if not _BUCKET.fullmatch(uri):
            raise OptionError(f"uri: {_EXPECTED}, got {shown_uri(uri)}")
        return
    if not uri.startswith(("http://", "https://")):
        raise OptionError(f"uri: {_EXPECTED}, the scheme in small letters")
    if "@" in uri.split("/")[2]:
        raise OptionError(f"uri: {_EXPECTED}, got one with credentials in it, which are not supported")
    if "?" in uri or "#" in uri:
        raise OptionError(f"uri: {_EXPECTED}, got one with a query or a fragment")
    check_endpoint_url(uri, "uri")
