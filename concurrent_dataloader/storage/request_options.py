"""How a request is made, whatever the store: how many at once, how long each may take, and whom to trust."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from concurrent_dataloader._base.errors import OptionError
from concurrent_dataloader.storage.scrub import shown_uri


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOptions:
    """The limits of a request, the same for every store that is reached over a network.

    Args:
        max_concurrency: Requests in flight at once in one process: the size of the connection pool.
        connect_timeout_s: Longest wait for a connection, in seconds.
        read_timeout_s: Longest silence of a connection, in seconds.
        deadline_s: Seconds from the request's start to its end, whatever happens: attempts, pauses between them, and
            bodies that drip. The first attempt gets half of it at most, a later one half of what is left or more.
        max_attempts: Attempts per request, the first one included.
        ca_bundle: PEM file of the certificate authorities to trust, for a private one. None: the system's.

    The time limits' defaults: 5 s to connect is obstore's; 30 s without a byte is far above the 99.9th percentile of
    S3's first byte (about 1 s); 10 attempts with pauses of up to 5 s ride out a throttled half minute. An object that
    takes longer than half of the deadline, 60 s, needs a longer one.

    Raises:
        OptionError: An argument is wrong; the message names it and what was expected.
    """

    max_concurrency: int = 32
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 30.0
    deadline_s: float = 120.0
    max_attempts: int = 10
    ca_bundle: str | None = None

    def check_requests(self) -> None:
        """Raises OptionError unless these options make sense; a subclass calls it when it is built."""
        for each in fields(RequestOptions):
            value = getattr(self, each.name)
            if each.name in ("max_concurrency", "max_attempts") and (type(value) is not int or value < 1):
                raise OptionError(f"{each.name}: expected an integer of at least 1, got {value!r}")
            if each.name.endswith("_s") and not (type(value) in (int, float) and 0 < value < float("inf")):
                raise OptionError(f"{each.name}: expected a positive number of seconds, got {value!r}")
        ca_bundle: object = self.ca_bundle
        if ca_bundle is not None and not (isinstance(ca_bundle, str) and Path(ca_bundle).is_file()):
            raise OptionError(f"ca_bundle: expected the path of a PEM file, got {self.ca_bundle!r}, which is no file")


def check_endpoint_url(url: str, name: str = "endpoint_url") -> None:
    """Raises OptionError unless the URL is ``http(s)://host[:port][/path]`` without credentials or query.

    Args:
        url: What was given.
        name: The argument's name, for the message.
    """
    expected = f"{name}: expected https://host[:port], or http://host[:port] for plain HTTP"
    parts = _split(url)
    if parts is None:
        raise OptionError(f"{expected}, got something that is no URL")
    if "@" in parts.netloc:
        raise OptionError(f"{expected}, got one with credentials in it; pass them as credentials")
    if parts.query or parts.fragment:  # not shown: what signs a URL stands there
        raise OptionError(f"{expected}, got one with a query or fragment")
    if parts.scheme not in ("http", "https") or not parts.hostname or " " in parts.netloc:
        raise OptionError(f"{expected}, got {shown_uri(url)}")


def _split(url: object) -> SplitResult | None:
    """Returns the parts of a URL; None if it is none. Nothing is kept of urllib's error, which may quote a password."""
    if not isinstance(url, str) or not url.isprintable():  # bytes are split, too; control characters are passed over
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port  # parsed only when read
    except ValueError:
        return None
    return parts
