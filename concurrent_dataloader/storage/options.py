"""What an S3 store is told: where, as whom, and for how long it may try."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlsplit

from concurrent_dataloader._base.errors import OptionError

ClientName = Literal["obstore", "boto3", "aiobotocore"]


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
class S3Options:
    """The configuration of an `S3Store`: all that is pickled of it.

    Args:
        bucket_name: The bucket.
        endpoint_url: ``https://host[:port][/path]`` of an S3-compatible store, addressed path-style. Plain HTTP is
            spoken only where this says ``http://``. None: what the AWS environment or configuration names
            (``AWS_ENDPOINT_URL_S3``, ``AWS_ENDPOINT_URL``, ``endpoint_url`` of the profile), else AWS itself.
        region_name: Region to sign for. None: what the AWS environment or configuration names; on AWS itself the
            bucket is then asked where it lies.
        client: The client that reads objects. Listing, HEAD and uploads always go through boto3.
        fallback_credentials: Used only where the standard AWS chain (environment, ``~/.aws``, instance role) has none.
        unsigned: True sends requests without credentials, for public buckets.
        max_concurrency: Requests in flight at once in one process: the size of the connection pool.
        connect_timeout_s: Longest wait for a connection, in seconds.
        read_timeout_s: Longest silence of a connection, in seconds.
        deadline_s: No new attempt starts later than this many seconds after the request's start. Stay below 300, since
            obstore does not renew credentials between its attempts.
        max_attempts: Attempts per request, the first one included.
        ca_bundle: PEM file of the certificate authorities to trust, for a private one. None: ``AWS_CA_BUNDLE`` or the
            ``ca_bundle`` of the profile, else the system's.

    The time limits' defaults: 5 s to connect is obstore's; 30 s without a byte is far above the 99.9th percentile of
    S3's first byte (about 1 s); 10 attempts with pauses of up to 5 s ride out a throttled half minute.

    Raises:
        OptionError: An argument is wrong; the message names it and what was expected.
    """

    bucket_name: str
    endpoint_url: str | None = None
    region_name: str | None = None
    client: ClientName = "obstore"
    fallback_credentials: StaticCredentials | None = None
    unsigned: bool = False
    max_concurrency: int = 32
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 30.0
    deadline_s: float = 120.0
    max_attempts: int = 10
    ca_bundle: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.bucket_name, str) or not self.bucket_name or "/" in self.bucket_name:
            raise OptionError(f"bucket_name: expected a bucket's name without '/', got {self.bucket_name!r}")
        if self.client not in get_args(ClientName):
            raise OptionError(f"client: expected one of {', '.join(get_args(ClientName))}, got {self.client!r}")
        static: object = self.fallback_credentials
        if not isinstance(static, (StaticCredentials, type(None))):
            # Only the type is shown: a tuple or dict passed by mistake has the secret in its repr.
            given = type(static).__name__
            raise OptionError(f"fallback_credentials: expected StaticCredentials or None, got {given}")
        if self.endpoint_url is not None:
            check_endpoint_url(self.endpoint_url)
        if self.ca_bundle is not None and not Path(self.ca_bundle).is_file():
            raise OptionError(f"ca_bundle: expected the path of a PEM file, got {self.ca_bundle!r}, which is no file")
        self._check_numbers()

    def _check_numbers(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in ("max_concurrency", "max_attempts") and (type(value) is not int or value < 1):
                raise OptionError(f"{each.name}: expected an integer of at least 1, got {value!r}")
            if each.name.endswith("_s") and not (type(value) in (int, float) and 0 < value < float("inf")):
                raise OptionError(f"{each.name}: expected a positive number of seconds, got {value!r}")


def check_endpoint_url(url: str) -> None:
    """Raises OptionError unless the URL is ``http(s)://host[:port][/path]`` without credentials or query."""
    expected = "endpoint_url: expected https://host[:port], or http://host[:port] for plain HTTP"
    try:
        parts = urlsplit(url)
        _ = parts.port  # parsed only when read
    except (ValueError, AttributeError, TypeError) as error:
        raise OptionError(f"{expected}, got something that is no URL") from error
    if "@" in parts.netloc:
        raise OptionError(f"{expected}, got one with credentials in it; pass them as credentials")
    if parts.query or parts.fragment:  # not shown: what signs a URL stands there
        raise OptionError(f"{expected}, got one with a query or fragment")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise OptionError(f"{expected}, got {url!r}")
