"""Objects read and written through obstore, whichever store it speaks to."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from concurrent_dataloader.storage import obstore_process
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
        build_store: Makes obstore's store; called on first use, once per process.
        options: How long a request may take.
        describe: Names an object for messages.
    """

    def __init__(self, build_store: Callable[[], Any], options: RequestOptions, describe: Callable[[str], str]) -> None:
        self._build_store = build_store
        self._describe = describe
        self._store = ProcessLocal(self._start)
        self._retrying = Retrying(options.max_attempts, options.deadline_s, classify_obstore)

    def get(self, key: str) -> bytes:
        return self.call(key, lambda store: _read(store, key))

    def get_range(self, key: str, start: int, end: int) -> bytes:
        return self.call(key, lambda store: _read(store, key, (start, end)))

    async def aget(self, key: str) -> bytes:
        return await self._retrying.acall(lambda: self._aread(key), lambda: self._describe(key))

    def head(self, key: str) -> ObjectInfo:
        import obstore

        return ObjectInfo(key, int(self.call(key, lambda store: obstore.head(store, key))["size"]))

    def put(self, key: str, body: bytes) -> None:
        import obstore

        self.call(key, lambda store: obstore.put(store, key, body))

    def call(self, key: str, attempt: Callable[[Any], T]) -> T:
        """Returns what ``attempt`` returns for obstore's store; ``key`` is what its errors will name."""
        return self._retrying.call(lambda: attempt(self._store.get()), lambda: self._describe(key))

    async def _aread(self, key: str) -> bytes:
        import obstore

        answer = await obstore.get_async(self._store.get(), key)
        body = (await answer.bytes_async()).to_bytes()
        check_length(len(body), answer.meta["size"])
        return body

    def _start(self) -> Any:
        store = self._build_store()
        obstore_process.mark_used()
        return store


def _read(store: Any, key: str, span: tuple[int, int] | None = None) -> bytes:
    import obstore

    answer = obstore.get(store, key, options={"range": span} if span else None)
    body = answer.bytes().to_bytes()
    start, end = answer.range
    check_length(len(body), end - start)
    return body


def client_settings(options: RequestOptions, url: str, ca_bundle: str | None) -> ClientConfig:
    """Returns obstore's ``client_options`` for a store at a URL; plain HTTP is spoken only where that says so."""
    settings: ClientConfig = {
        "allow_http": urlsplit(url).scheme == "http",
        "allow_invalid_certificates": False,
        "connect_timeout": timedelta(seconds=options.connect_timeout_s),
        "read_timeout": timedelta(seconds=options.read_timeout_s),
        "timeout": timedelta(seconds=options.deadline_s),
    }
    if ca_bundle is not None and Path(ca_bundle).is_file():
        settings["root_certificate"] = Path(ca_bundle).read_bytes()
    return settings


def retry_settings(options: RequestOptions) -> RetryConfig:
    """Returns obstore's ``retry_config``: the same attempts and pauses as the other clients'."""
    return {
        "max_retries": options.max_attempts - 1,
        "retry_timeout": timedelta(seconds=options.deadline_s),
        "backoff": {
            "init_backoff": timedelta(seconds=FIRST_PAUSE_S),
            "max_backoff": timedelta(seconds=MAX_PAUSE_S),
            "base": 2,
        },
    }
