"""The store of gs://, az://, https:// and http://: all through obstore."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from concurrent_dataloader._base.errors import AccessDenied, ForkedClientError, OptionError, UnreadableKeyError
from concurrent_dataloader.storage import obstore_process
from concurrent_dataloader.storage.attempt_clients import Limits
from concurrent_dataloader.storage.object_options import ObjectOptions
from concurrent_dataloader.storage.obstore_listing import list_level, list_objects
from concurrent_dataloader.storage.obstore_objects import (
    ObstoreObjects,
    addressable,
    client_settings,
    retry_settings,
)
from concurrent_dataloader.storage.protocol import Level, ObjectInfo
from concurrent_dataloader.storage.ranges import check_range

if TYPE_CHECKING:
    from obstore.store import AzureConfig, GCSConfig


class ObstoreStore:
    """An `ObjectStore` over a bucket of Google Cloud Storage, a container of Azure Blob Storage, or a web server.

    Credentials come from the provider's standard chain, which obstore reads: for Google
    ``GOOGLE_APPLICATION_CREDENTIALS``, ``gcloud``'s defaults and the instance's service account; for Azure the
    ``AZURE_*`` variables, workload and managed identities. A web server is asked without any.

    obstore does not survive a fork, and there is no second client here to step in: a process that was forked after its
    parent had used obstore gets a `ForkedClientError` at once. A web server cannot be listed.

    Args:
        options: Where the objects lie and for how long to try.
    """

    def __init__(self, options: ObjectOptions) -> None:
        self._options = options
        self._place = _place(options)
        self._objects = ObstoreObjects(self._build, options, self.describe)

    @property
    def options(self) -> ObjectOptions:
        """The configuration that the store was made with."""
        return self._options

    def get(self, key: str, size_bytes: int | None = None) -> bytes:
        return self._usable(key).get(key, size_bytes)

    async def aget(self, key: str, size_bytes: int | None = None) -> bytes:
        return await self._usable(key).aget(key, size_bytes)

    def get_range(self, key: str, start: int, end: int) -> bytes:
        check_range(start, end)
        return self._usable(key).get_range(key, start, end)

    def head(self, key: str) -> ObjectInfo:
        return self._usable(key).head(key)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        self._check_listing()
        return iter(list_objects(self._objects, prefix))

    def list_prefixes(self, prefix: str = "") -> Level:
        self._check_listing()
        return list_level(self._objects, prefix)

    def put(self, key: str, body: bytes) -> None:
        if self._options.unsigned:  # obstore would look for credentials all the same, as far as the instance's role
            raise AccessDenied(
                f"{self.describe(key)}: objects are not written by unsigned requests; leave unsigned out"
            )
        self._usable(key).put(key, body)

    def describe(self, key: str) -> str:
        return f"{self._options.uri.rstrip('/')}/{key}{self._place}"

    def set_max_concurrency(self, requests: int) -> None:
        """Does nothing: obstore's pool of connections has no bound."""

    async def aclose(self) -> None:
        """Does nothing: no loop owns anything here."""

    def __reduce__(self) -> tuple[type[ObstoreStore], tuple[ObjectOptions]]:
        return ObstoreStore, (self._options,)

    def __repr__(self) -> str:
        return f"ObstoreStore({self._options!r})"

    def _usable(self, key: str) -> ObstoreObjects:
        if not addressable(key):
            raise UnreadableKeyError(
                f"{self.describe(key)!r}: obstore cannot name this object; expected a key without control characters "
                "and without empty, '.' or '..' parts between its slashes"
            )
        self._check_fork(key)
        return self._objects

    def _check_listing(self) -> None:
        if self._options.provider == "http":
            raise OptionError(f"{self._options.uri}: a web server cannot be listed; expected an index file of its keys")
        self._check_fork("")

    def _check_fork(self, key: str) -> None:
        if not obstore_process.survives():
            raise ForkedClientError(
                f"{self.describe(key)}: this process was forked after its parent had used obstore, which does not "
                'survive a fork; read nothing before the workers start, or use multiprocessing_context="spawn" or '
                '"forkserver"'
            )

    def _build(self, limits: Limits) -> Any:
        return {"gs": _google, "az": _azure, "http": _web}[self._options.provider](self._options, limits)


def _place(options: ObjectOptions) -> str:
    """Returns what tells two stores with the same URI apart, for messages and for the cache."""
    account = f"account {options.account_name}" if options.account_name else None
    endpoint = f"endpoint {options.endpoint_url}" if options.endpoint_url else None
    place = ", ".join(part for part in (account, endpoint) if part)
    return f" ({place})" if place else ""


def _google(options: ObjectOptions, limits: Limits) -> Any:
    from obstore.store import GCSStore

    config: GCSConfig = {}
    if options.endpoint_url is not None:
        config["base_url"] = options.endpoint_url.rstrip("/")
    if options.unsigned:
        config["skip_signature"] = True
    return GCSStore(options.container, config=config, **_requests(options, limits, options.endpoint_url))


def _azure(options: ObjectOptions, limits: Limits) -> Any:
    from obstore.store import AzureStore

    config: AzureConfig = {"account_name": options.account_name or ""}
    if options.endpoint_url is not None:
        config["endpoint"] = options.endpoint_url.rstrip("/")
    if options.unsigned:
        config["skip_signature"] = True
    return AzureStore(options.container, config=config, **_requests(options, limits, options.endpoint_url))


def _web(options: ObjectOptions, limits: Limits) -> Any:
    from obstore.store import HTTPStore

    # A slash at the end would come twice in every request.
    return HTTPStore(options.uri.rstrip("/"), **_requests(options, limits, options.uri))


def _requests(options: ObjectOptions, limits: Limits, url: str | None) -> dict[str, Any]:
    settings = client_settings(limits, url or "https://", options.ca_bundle)
    return {"client_options": settings, "retry_config": retry_settings(limits)}
