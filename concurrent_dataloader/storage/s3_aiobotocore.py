"""S3 through aiobotocore: one client for each running event loop."""

from __future__ import annotations

import asyncio
import functools
import importlib.util
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from concurrent_dataloader._base.errors import IncompleteBody, OptionError, StorageError
from concurrent_dataloader.storage.attempt_clients import limits_of
from concurrent_dataloader.storage.botocore_answers import announced_length, stay_at_the_endpoint
from concurrent_dataloader.storage.botocore_failures import classify_botocore
from concurrent_dataloader.storage.daemon_call import in_daemon_thread
from concurrent_dataloader.storage.large_objects import LargeObjects, Part
from concurrent_dataloader.storage.options import S3Options
from concurrent_dataloader.storage.process_local import ProcessLocal
from concurrent_dataloader.storage.ranges import RangesIgnored, size_of_whole
from concurrent_dataloader.storage.retry import Attempt, Failure, Retrying, check_length, request_start_s
from concurrent_dataloader.storage.s3_connection import S3Connection, client_settings, fallback_credentials
from concurrent_dataloader.storage.scrub import scrub

T = TypeVar("T")


def require_aiobotocore() -> None:
    """Raises OptionError, naming the extra to install, where aiobotocore is missing; does not import it."""
    if importlib.util.find_spec("aiobotocore") is None:
        raise OptionError(
            "client='aiobotocore' needs a package that is not installed: pip install concurrent-dataloader[aiobotocore]"
        )


class AiobotocoreObjects:
    """The objects of one bucket, read on the running event loop.

    Args:
        options: Where and how long.
        connection: Endpoint of this process.
        describe: Names an object for messages.
        renew: See `Retrying`.

    Shutdown:
        `aclose` closes the running loop's client and its connections. A loop that ends without it leaves them to the
        garbage collector, which aiohttp reports as a ResourceWarning.
    """

    def __init__(
        self,
        options: S3Options,
        connection: ProcessLocal[S3Connection],
        describe: Callable[[str], str],
        renew: Callable[[float], bool],
    ) -> None:
        self._options = options
        self._connection = connection
        self._describe = describe
        self._clients: ProcessLocal[dict[asyncio.AbstractEventLoop, _LoopClients]] = ProcessLocal(dict)
        self._retrying = Retrying(options.max_attempts, options.deadline_s, classify_aiobotocore, renew)
        self._large = LargeObjects(describe)
        self.max_concurrency = options.max_concurrency

    def reset(self) -> None:
        """Builds the clients anew when they are next needed; `aclose` closes the old ones too."""
        for clients in list(self._clients.get().values()):
            clients.reset()

    async def aget(self, key: str, size_bytes: int | None = None) -> bytes:
        start_s = request_start_s()  # one deadline for all of it

        async def whole() -> bytes:
            return await self._call(key, lambda attempt: self._read(attempt, key), start_s)

        async def part(start: int, end: int) -> Part:
            return await self._call(key, lambda attempt: self._read_part(attempt, key, start, end), start_s)

        if size_bytes is None or not self._large.fits(size_bytes):
            return await whole()
        return await self._large.aget(key, size_bytes, part, whole)

    async def aclose(self) -> None:
        client = self._clients.get().pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    async def _call(self, key: str, run: Callable[[Attempt], Awaitable[T]], start_s: float) -> T:
        return await self._retrying.acall(run, lambda: self._describe(key), start_s)

    async def _read(self, attempt: Attempt, key: str) -> bytes:
        client = await self._clients_of_loop().get(keep_connections=attempt.tier == 0)
        # aiohttp's own limits are for a connection and for a silence: a body that drips would take for ever.
        async with asyncio.timeout(attempt.rest_s):
            return await _read_body(await client.get_object(Bucket=self._options.bucket_name, Key=key))

    async def _read_part(self, attempt: Attempt, key: str, start: int, end: int) -> Part:
        client = await self._clients_of_loop().get(keep_connections=attempt.tier == 0)
        request = {"Bucket": self._options.bucket_name, "Key": key, "Range": f"bytes={start}-{end - 1}"}
        async with asyncio.timeout(attempt.rest_s):
            answer = await client.get_object(**request)
            size_bytes = size_of_whole(answer.get("ContentRange"), start, end)
            if size_bytes is None:
                answer["Body"].close()
                raise RangesIgnored(
                    f"{self._describe(key)}: the store does not serve ranges, or another than was asked for"
                )
            body = await _read_body(answer)
            check_length(len(body), min(end, size_bytes) - start)
            return Part(body, answer.get("ETag"), size_bytes)

    def _clients_of_loop(self) -> _LoopClients:
        clients, loop = self._clients.get(), asyncio.get_running_loop()
        if loop not in clients:
            for ended in [each for each in list(clients) if each.is_closed()]:
                clients.pop(ended, None)
            clients[loop] = _LoopClients(self._options, self._connection, self.max_concurrency)
        return clients[loop]


async def _read_body(answer: dict[str, Any]) -> bytes:
    async with answer["Body"] as stream:
        announced = announced_length(answer)
        body: bytes = await stream.read()
    check_length(len(body), len(body) if announced is None else announced)
    return body


class _LoopClients:
    """The clients of one event loop, built by the first tasks that ask for them.

    The one for first attempts keeps its connections. The other does not: after a failure a kept one may lead to the
    host that has just failed (see `AttemptClients`).
    """

    def __init__(self, options: S3Options, connection: ProcessLocal[S3Connection], max_concurrency: int) -> None:
        self._options = options
        self._connection = connection
        self._max_concurrency = max_concurrency
        self._lock = asyncio.Lock()
        self._open = AsyncExitStack()
        self._clients: dict[bool, Any] = {}

    def reset(self) -> None:
        self._clients = {}

    async def get(self, *, keep_connections: bool) -> Any:
        async with self._lock:
            clients = self._clients  # a reset, which comes from another thread, puts a new dict in its place
            if keep_connections not in clients:
                client = await self._open.enter_async_context(await self._build(keep_connections))
                if self._connection.get().endpoint_url is not None:
                    stay_at_the_endpoint(client)
                clients[keep_connections] = client
            return clients[keep_connections]

    async def aclose(self) -> None:
        await self._open.aclose()

    async def _build(self, keep_connections: bool) -> Any:
        from aiobotocore.config import AioConfig
        from aiobotocore.session import get_session

        session = get_session()
        connection = await in_daemon_thread(self._connection.get)  # it may probe the instance role
        if not self._options.unsigned:
            fallback = fallback_credentials(await session.get_credentials(), self._options)
            if fallback is not None:
                session.set_credentials(fallback.access_key, fallback.secret_key, fallback.session_token)
        limits = limits_of(self._options, 0)
        settings = client_settings(self._options, limits, connection, self._max_concurrency)
        settings["http_session_cls"] = _session_without_redirects()
        if not keep_connections:
            settings["connector_args"] = {"force_close": True, "keepalive_timeout": None}
        return session.create_client("s3", config=AioConfig(**settings), **connection.client_arguments())


@functools.cache
def _session_without_redirects() -> type[Any]:
    """Returns aiobotocore's HTTP session, but for redirects, which botocore's own does not follow either.

    aiohttp would follow them from https to plain http, and take the session's token to any host.
    """
    from aiobotocore.httpsession import AIOHTTPSession

    class Session(AIOHTTPSession):  # type: ignore[misc]  # aiobotocore has no types
        async def _get_session(self, proxy_url: str | None) -> _NoRedirects:
            return _NoRedirects(await super()._get_session(proxy_url))

    return Session


class _NoRedirects:
    """An aiohttp session that hands a redirect on as the answer that it is."""

    def __init__(self, session: Any) -> None:
        self._session = session

    async def request(self, method: str, **arguments: Any) -> Any:
        return await self._session.request(method, allow_redirects=False, **arguments)


def classify_aiobotocore(error: Exception) -> Failure | None:
    """Returns what the error means for the request; None for what does not come from the client or the network."""
    from aiohttp import ClientError, ClientPayloadError

    if isinstance(error, ClientPayloadError):  # the connection broke in the middle of the body
        return Failure(IncompleteBody, scrub(f"{type(error).__name__}: {error}"), transient=True)
    if isinstance(error, ClientError):
        return Failure(StorageError, scrub(f"{type(error).__name__}: {error}"), transient=True)
    return classify_botocore(error)
