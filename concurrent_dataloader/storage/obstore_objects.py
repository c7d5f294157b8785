"""Objects read and written through obstore, whichever store it speaks to."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit

from concurrent_dataloader.storage import obstore_process
from concurrent_dataloader.storage.attempt_clients import AttemptClients, Limits, listing_limits_of
from concurrent_dataloader.storage.large_objects import LargeObjects, Part
from concurrent_dataloader.storage.obstore_failures import classify_obstore
from concurrent_dataloader.storage.process_local import ProcessLocal
from concurrent_dataloader.storage.protocol import ObjectInfo
from concurrent_dataloader.storage.request_options import RequestOptions
from concurrent_dataloader.storage.retry import FIRST_PAUSE_S, MAX_PAUSE_S, Retrying, check_length, request_start_s

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import ClientConfig, RetryConfig

logger = logging.getLogger(__name__)

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
        renew: See `Retrying`; None where obstore finds the credentials by itself.
    """

    def __init__(
        self,
        build_store: Callable[[Limits], Any],
        options: RequestOptions,
        describe: Callable[[str], str],
        renew: Callable[[float], bool] | None = None,
    ) -> None:
        def start(limits: Limits) -> Any:
            store = build_store(limits)
            obstore_process.mark_used()
            return store

        self._describe = describe
        self._stores = AttemptClients(start, options)
        self._listing_store = ProcessLocal(lambda: start(listing_limits_of(options)))
        self._large = LargeObjects(describe)
        self._retrying = Retrying(options.max_attempts, options.deadline_s, classify_obstore, renew)

    def reset(self) -> None:
        """Builds the stores anew when they are next needed."""
        self._stores.reset()

    def get(self, key: str, size_bytes: int | None = None) -> bytes:
        start_s = request_start_s()
        if size_bytes is not None and self._large.fits(size_bytes):
            return self._get_large(key, size_bytes, start_s)
        answer = self._call(key, lambda store: _read(store, key, self._large), start_s)
        return answer if isinstance(answer, bytes) else self._get_large(key, answer.meta["size"], start_s, answer)

    async def aget(self, key: str, size_bytes: int | None = None) -> bytes:
        start_s = request_start_s()
        if size_bytes is not None and self._large.fits(size_bytes):
            return await self._aget_large(key, size_bytes, start_s)
        answer = await self._acall(key, lambda store: _aread(store, key, self._large), start_s)
        if isinstance(answer, bytes):
            return answer
        return await self._aget_large(key, answer.meta["size"], start_s, answer)

    def get_range(self, key: str, start: int, end: int) -> bytes:
        return bytes(self._call(key, lambda store: _read_part(store, key, start, end)).body)

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

    def _call(self, key: str, run: Callable[[Any], T], start_s: float | None = None) -> T:
        return self._retrying.call(lambda attempt: run(self._stores.get(attempt)), lambda: self._describe(key), start_s)

    async def _acall(self, key: str, run: Callable[[Any], Awaitable[T]], start_s: float | None = None) -> T:
        return await self._retrying.acall(
            lambda attempt: run(self._stores.get(attempt)), lambda: self._describe(key), start_s
        )

    def _get_large(self, key: str, size_bytes: int, start_s: float, opened: GetResult | None = None) -> bytes:
        """Returns the body, fetched by ranges, all within one deadline.

        Args:
            key: The object.
            size_bytes: Its size.
            start_s: When the first request for it began, in seconds of ``time.monotonic``.
            opened: An answer whose body has not been read.
        """
        return self._large.get(
            key,
            size_bytes,
            lambda start, end: self._call(key, lambda store: _read_part(store, key, start, end), start_s),
            lambda: cast(bytes, self._call(key, lambda store: _read(store, key), start_s)),
            None if opened is None else lambda end: _first_part(opened, end),
        )

    async def _aget_large(self, key: str, size_bytes: int, start_s: float, opened: GetResult | None = None) -> bytes:
        """Like `_get_large`, on the running event loop."""

        async def whole() -> bytes:
            return cast(bytes, await self._acall(key, lambda store: _aread(store, key), start_s))

        return await self._large.aget(
            key,
            size_bytes,
            lambda start, end: self._acall(key, lambda store: _aread_part(store, key, start, end), start_s),
            whole,
            None if opened is None else lambda end: _afirst_part(opened, end),
        )


def _read(store: Any, key: str, large: LargeObjects | None = None) -> bytes | GetResult:
    """Returns the body, or the answer as it is where it announces a large one."""
    import obstore

    answer = obstore.get(store, key)
    start, end = answer.range
    if large is not None and large.fits_opened(end - start):
        return answer
    body = answer.bytes().to_bytes()
    check_length(len(body), end - start)
    return body


async def _aread(store: Any, key: str, large: LargeObjects | None = None) -> bytes | GetResult:
    import obstore

    answer = await obstore.get_async(store, key)
    start, end = answer.range
    if large is not None and large.fits_opened(end - start):
        return answer
    body = (await answer.bytes_async()).to_bytes()
    check_length(len(body), end - start)
    return body


def _read_part(store: Any, key: str, start: int, end: int) -> Part:
    import obstore

    answer = obstore.get(store, key, options={"range": (start, end)})
    return _part(answer, answer.bytes())


async def _aread_part(store: Any, key: str, start: int, end: int) -> Part:
    import obstore

    answer = await obstore.get_async(store, key, options={"range": (start, end)})
    return _part(answer, await answer.bytes_async())


def _part(answer: GetResult, body: Any) -> Part:
    start, end = answer.range
    check_length(len(body), end - start)
    return Part(body, answer.meta["e_tag"], answer.meta["size"])


def _first_part(answer: GetResult, end: int) -> Part | None:
    """Returns the first bytes of an answer that has begun; None if it breaks off, since a range can still be had."""
    try:
        piece = next(iter(answer.stream(min_chunk_size=end)))
    except Exception as error:  # noqa: BLE001 obstore's, whichever: the request for the range will tell
        logger.debug("an answer broke off: %s", type(error).__name__)
        return None
    return _cut(answer, piece, end)


async def _afirst_part(answer: GetResult, end: int) -> Part | None:
    try:
        piece = await anext(aiter(answer.stream(min_chunk_size=end)))
    except Exception as error:  # noqa: BLE001 as in `_first_part`
        logger.debug("an answer broke off: %s", type(error).__name__)
        return None
    return _cut(answer, piece, end)


def _cut(answer: GetResult, piece: bytes, end: int) -> Part | None:
    if len(piece) < end:
        return None
    return Part(memoryview(piece)[:end], answer.meta["e_tag"], answer.meta["size"])


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
