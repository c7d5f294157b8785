"""Objects read and written through obstore, whichever store it speaks to."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from concurrent_dataloader.storage import obstore_process
from concurrent_dataloader.storage.attempt_clients import AttemptClients, Limits, listing_limits_of
from concurrent_dataloader.storage.obstore_failures import classify_obstore
from concurrent_dataloader.storage.process_local import ProcessLocal
from concurrent_dataloader.storage.protocol import ObjectInfo
from concurrent_dataloader.storage.request_options import RequestOptions
from concurrent_dataloader.storage.retry import FIRST_PAUSE_S, MAX_PAUSE_S, Retrying, check_length

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

T = TypeVar("T")

# obstore drops a leading or trailing slash, and so reads another object; it refuses the rest of these.
_NOT_FOR_OBSTORE = re.compile(r"(?:^|/)\.{0,2}(?:/|\Z)|[\x00-\x1f\x7f]")


def addressable(key: str) -> bool:
    """Whether obstore reads exactly this key: no empty, ``.`` or ``..`` segment, no control character."""
    return _NOT_FOR_OBSTORE.search(key) is None


class ObstoreObjects:
    """The objects of one store, through obstore; its keys have to be `addressable`.

    Args:
        build_store: Makes obstore's store with such limits; called on first use, once per process.
        options: How long a request may take.
        describe: Names an object for messages.
    """

    def __init__(
        self, build_store: Callable[[Limits], Any], options: RequestOptions, describe: Callable[[str], str]
    ) -> None:
        def start(limits: Limits) -> Any:
            store = build_store(limits)
            obstore_process.mark_used()
            return store

        self._describe = describe
        self._stores = AttemptClients(start, options)
        self._listing_store = ProcessLocal(lambda: start(listing_limits_of(options)))
        self._retrying = Retrying(options.max_attempts, options.deadline_s, classify_obstore)

    def get(self, key: str) -> bytes:
        return self._call(key, lambda store: _read(store, key))

    def get_range(self, key: str, start: int, end: int) -> bytes:
        return self._call(key, lambda store: _read(store, key, (start, end)))

    async def aget(self, key: str) -> bytes:
        return await self._retrying.acall(
            lambda attempt: _aread(self._stores.get(attempt), key), lambda: self._describe(key)
        )

    def head(self, key: str) -> ObjectInfo:
        import obstore

        return ObjectInfo(key, int(self._call(key, lambda store: obstore.head(store, key))["size"]))

    def put(self, key: str, body: bytes) -> None:
        import obstore

        self._call(key, lambda store: obstore.put(store, key, body))

    def list_through(self, prefix: str, read: Callable[[Any], T]) -> T:
        """Returns what ``read`` returns for a store that repeats what fails by itself, page by page."""
        once = replace(self._retrying, max_attempts=1)
        return once.call(lambda _: read(self._listing_store.get()), lambda: self._describe(prefix))

    def _call(self, key: str, run: Callable[[Any], T]) -> T:
        return self._retrying.call(lambda attempt: run(self._stores.get(attempt)), lambda: self._describe(key))


def _read(store: Any, key: str, span: tuple[int, int] | None = None) -> bytes:
    import obstore

    answer = obstore.get(store, key, options={"range": span} if span else None)
    body = answer.bytes().to_bytes()
    start, end = answer.range
    check_length(len(body), end - start)
    return body


async def _aread(store: Any, key: str) -> bytes:
    import obstore

    answer = await obstore.get_async(store, key)
    body = (await answer.bytes_async()).to_bytes()
    check_length(len(body), answer.meta["size"])
    return body


def client_settings(limits: Limits, url: str, ca_bundle: str | None) -> ClientConfig:
    """Returns obstore's ``client_options`` for a store at a URL; plain HTTP is spoken only where that says so."""
    settings: ClientConfig = {
        "allow_http": urlsplit(url).scheme == "http",
        "allow_invalid_certificates": False,
        "connect_timeout": timedelta(seconds=limits.connect_timeout_s),
        "read_timeout": timedelta(seconds=limits.read_timeout_s),
        "timeout": timedelta(seconds=limits.attempt_s),
    }
    if not limits.keep_connections:
        settings["pool_max_idle_per_host"] = "0"
    if ca_bundle is not None and Path(ca_bundle).is_file():
        settings["root_certificate"] = Path(ca_bundle).read_bytes()
    return settings


def retry_settings(limits: Limits) -> RetryConfig:
    """Returns obstore's ``retry_config``: no retries but within a listing, for the reasons that retry.py gives."""
    return {
        "max_retries": limits.max_attempts - 1,
        "retry_timeout": timedelta(seconds=limits.attempt_s),
        "backoff": {
            "init_backoff": timedelta(seconds=FIRST_PAUSE_S),
            "max_backoff": timedelta(seconds=MAX_PAUSE_S),
            "base": 2,
        },
    }
