"""What an S3 store is told: where, as whom, and for how long it may try."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Literal, get_args
from urllib.parse import urlsplit

from concurrent_dataloader._base.errors import OptionError
from concurrent_dataloader.storage.request_options import RequestOptions, check_endpoint_url
from concurrent_dataloader.storage.scrub import shown_uri

ClientName = Literal["obstore", "boto3", "aiobotocore"]
AddressingStyle = Literal["auto", "path", "virtual"]

# What botocore takes: names, also the old and looser ones, and Amazon resource names of access points.
_BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}|arn:[A-Za-z0-9._:-]+")
_REGION = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")  # it becomes a part of a host's name


@dataclass(frozen=True, slots=True)
class StaticCredentials:
    """A key pair from a credentials file; only the access key shows in its repr.

    Args:
        access_key: The AWS access key id, or what an S3-compatible store calls so.
        secret_key: The secret that belongs to it.
        session_token: The token of temporary credentials.

    Raises:
        OptionError: A value is missing or no string.
    """

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in ("access_key", "secret_key"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value:
                raise OptionError(f"{name}: expected a non-empty string, got {type(value).__name__}")
        if self.session_token is not None and not isinstance(self.session_token, str):
            raise OptionError(f"session_token: expected a string or None, got {type(self.session_token).__name__}")


@dataclass(frozen=True, slots=True)
class S3Options(RequestOptions):
    """The configuration of an `S3Store`: all that is pickled of it.

    Args:
        bucket_name: The bucket.
        endpoint_url: ``https://host[:port][/path]`` of an S3-compatible store. Plain HTTP is spoken only where this
            says ``http://``. None: what the AWS environment or configuration names
            (``AWS_ENDPOINT_URL_S3``, ``AWS_ENDPOINT_URL``, ``endpoint_url`` of the profile), else AWS itself.
        region_name: Region to sign for. None: what the AWS environment or configuration names; on AWS itself the
            bucket is then asked where it lies.
        client: The client that reads objects. Listing, HEAD and uploads always go through boto3.
        fallback_credentials: Used only where the standard AWS chain (environment, ``~/.aws``, instance role) has none.
        unsigned: True sends requests without credentials, for public buckets.
        addressing_style: Where the bucket's name goes: ``"path"`` (``https://host/bucket/key``), ``"virtual"``
            (``https://bucket.host/key``), or ``"auto"``: path-style at an endpoint that is given, AWS's rules at AWS.

    The limits of a request and ``ca_bundle`` are those of `RequestOptions`; without a ``ca_bundle`` the AWS
    configuration's counts (``AWS_CA_BUNDLE``, ``ca_bundle`` of the profile).

    Raises:
        OptionError: An argument is wrong; the message names it and what was expected.
    """

    bucket_name: str
    endpoint_url: str | None = None
    region_name: str | None = None
    client: ClientName = "obstore"
    fallback_credentials: StaticCredentials | None = None
    unsigned: bool = False
    addressing_style: AddressingStyle = "auto"

    def __post_init__(self) -> None:
        if not is_bucket_name(self.bucket_name):
            raise OptionError(
                "bucket_name: expected a bucket's name (letters, digits, '.', '-' and '_'), got "
                f"{shown_uri(self.bucket_name)}"
            )
        if self.region_name is not None and not _is_region(self.region_name):
            raise OptionError(f"region_name: expected a region such as 'eu-west-1', got {self.region_name!r}")
        if self.client not in get_args(ClientName):
            raise OptionError(f"client: expected one of {', '.join(get_args(ClientName))}, got {self.client!r}")
        static: object = self.fallback_credentials
        if not isinstance(static, (StaticCredentials, type(None))):
            # Only the type is shown: a tuple or dict passed by mistake has the secret in its repr.
            given = type(static).__name__
            raise OptionError(f"fallback_credentials: expected StaticCredentials or None, got {given}")
        if self.endpoint_url is not None:
            check_endpoint_url(self.endpoint_url)
            check_addressing(self.addressing_style, self.endpoint_url)
        styles = get_args(AddressingStyle)
        if self.addressing_style not in styles:
            raise OptionError(f"addressing_style: expected one of {', '.join(styles)}, got {self.addressing_style!r}")
        self.check_requests()


def is_bucket_name(name: object) -> bool:
    """Whether a bucket can have that name."""
    return isinstance(name, str) and _BUCKET.fullmatch(name) is not None


def _is_region(name: object) -> bool:
    return isinstance(name, str) and not name.isdigit() and _REGION.fullmatch(name) is not None


def check_addressing(style: AddressingStyle, endpoint_url: str) -> None:
    """Raises OptionError where the bucket's name cannot go before the endpoint's host, as this is a number."""
    if style == "virtual" and _is_address(endpoint_url):
        raise OptionError(
            f"addressing_style: 'virtual' puts the bucket before the host's name, but {endpoint_url} has a number for "
            "a host; expected 'path', or an endpoint with a name"
        )


def _is_address(url: str) -> bool:
    try:
        ipaddress.ip_address(urlsplit(url).hostname or "")
    except ValueError:
        return False
    return True
