"""Google's and Azure's stores: the contract of all stores, and what is particular to reading them through obstore."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from endpoint_client import CREDENTIALS
from fake_azure import FakeAzure
from provider_environment import TOKEN, isolate_providers
from raw_s3_server import BODY, Action, RawS3Server, reset, short, status, whole_whatever_the_range
from store_contract import StoreContract, on_loop

from benchmarking.endpoint import S3Endpoint
from concurrent_dataloader._base.errors import AccessDenied, ObjectNotFound, StorageError, UnreadableKeyError
from concurrent_dataloader.storage import ObjectInfo, ObjectOptions, ObstoreStore


@pytest.fixture(autouse=True)
def _providers(monkeypatch: pytest.MonkeyPatch) -> None:
    isolate_providers(monkeypatch)


@pytest.fixture
def google() -> Iterator[S3Endpoint]:
    """Google's XML interface is S3's as far as we use it."""
    with S3Endpoint({}, bucket="bucket") as endpoint:
        yield endpoint


@pytest.fixture
def azure() -> Iterator[FakeAzure]:
    with FakeAzure() as server:
        yield server


@pytest.fixture
def server() -> Iterator[RawS3Server]:
    with RawS3Server() as server:
        yield server


def client_of(endpoint: S3Endpoint) -> Any:
    return boto3.client("s3", endpoint_url=endpoint.url, **CREDENTIALS)


def on_google(endpoint: S3Endpoint) -> ObstoreStore:
    return ObstoreStore(ObjectOptions("gs://bucket", endpoint.url))


def on_azure(server: FakeAzure) -> ObstoreStore:
    return ObstoreStore(ObjectOptions("az://container", server.url, account_name="account"))


class TestGoogleStore(StoreContract):
    @pytest.fixture
    def store(self, google: S3Endpoint) -> ObstoreStore:
        return on_google(google)


class TestAzureStore(StoreContract):
    @pytest.fixture
    def store(self, azure: FakeAzure) -> ObstoreStore:
        return on_azure(azure)


def test_markers_of_folders_are_left_out_of_a_listing_and_empty_objects_are_not(azure: FakeAzure) -> None:
    azure.blobs |= {"a/": b"", "a/x/": b"", "a/x/1": b"1", "a/empty": b"", "b/": b"", "b": b"not a folder"}
    store = on_azure(azure)
    expected = [ObjectInfo("a/empty", 0), ObjectInfo("a/x/1", 1), ObjectInfo("b", 12)]
    assert list(store.list()) == expected
    assert store.list_prefixes("a/") == (["a/x/"], [ObjectInfo("a/empty", 0)])


def test_googles_listing_leaves_markers_out_too(google: S3Endpoint) -> None:
    client = client_of(google)
    for key in ("a/", "a/1"):
        client.put_object(Bucket="bucket", Key=key, Body=b"")
    assert list(on_google(google).list()) == [ObjectInfo("a/1", 0)]


def test_a_listing_with_a_key_that_obstore_cannot_name_fails_and_says_which(azure: FakeAzure) -> None:
    azure.blobs |= {"a/1": b"1", "a//2": b"2"}
    with pytest.raises(StorageError, match="a//2"):
        list(on_azure(azure).list())


def test_credentials_come_from_the_providers_own_variables(azure: FakeAzure) -> None:
    azure.blobs["key"] = b"body"
    assert on_azure(azure).get("key") == b"body"
    [(_, _, headers)] = azure.seen
    assert headers["authorization"] == f"Bearer {TOKEN}"


def test_unsigned_requests_carry_no_credentials(azure: FakeAzure, server: RawS3Server) -> None:
    azure.blobs["key"] = b"body"
    options = ObjectOptions("az://container", azure.url, account_name="account", unsigned=True)
    assert ObstoreStore(options).get("key") == b"body"
    assert ObstoreStore(ObjectOptions("gs://bucket", server.url, unsigned=True)).get("key") == BODY
    sent = [{name.lower() for name in headers} for _, _, headers in azure.seen + server.seen]
    assert len(sent) == 2
    assert not any("authorization" in headers for headers in sent)


@pytest.mark.parametrize("uri", ["gs://bucket", "az://container"])
def test_an_unsigned_upload_is_refused_before_anything_is_asked(server: RawS3Server, uri: str) -> None:
    account = "account" if uri.startswith("az") else None
    store = ObstoreStore(ObjectOptions(uri, server.url, account_name=account, unsigned=True))
    with pytest.raises(AccessDenied, match="unsigned"):
        store.put("key", b"body")
    assert server.seen == []


@pytest.mark.parametrize("key", ["a//b", "/a", "a/", "x/../y", "a\nb", ""])
def test_a_key_that_obstore_would_change_is_refused_before_anything_is_asked(server: RawS3Server, key: str) -> None:
    for uri, others in ((f"{server.url}/base", {}), ("gs://bucket", {"endpoint_url": server.url})):
        store = ObstoreStore(ObjectOptions(uri, **others))  # type: ignore[arg-type]
        for read in (store.get, store.head, lambda key, store=store: store.get_range(key, 0, 1)):
            with pytest.raises(UnreadableKeyError, match="cannot name this object"):
                read(key)
        with pytest.raises(UnreadableKeyError):
            on_loop(store, lambda store=store: store.aget(key))
    assert server.seen == []


@pytest.mark.parametrize(
    ("uri", "others", "expected"),
    [
        ("gs://bucket", {}, "gs://bucket/some/key"),
        ("gs://bucket", {"endpoint_url": "https://h"}, "gs://bucket/some/key (endpoint https://h)"),
        ("az://container", {"account_name": "a"}, "az://container/some/key (account a)"),
        ("https://host/base/", {}, "https://host/base/some/key"),
    ],
)
def test_describe_tells_stores_apart(uri: str, others: dict[str, str], expected: str) -> None:
    assert ObstoreStore(ObjectOptions(uri, **others)).describe("some/key") == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("provider", ["gs", "az", "http"])
class TestFailures:
    """The errors of `ObjectStore`, the same whichever provider answers so."""

    @pytest.fixture
    def store(self, provider: str, server: RawS3Server) -> ObstoreStore:
        limits = {"max_attempts": 3, "deadline_s": 20.0}
        if provider == "http":
            return ObstoreStore(ObjectOptions(f"{server.url}/base/", **limits))  # type: ignore[arg-type]
        account = "account" if provider == "az" else None
        uri = f"{provider}://{'container' if provider == 'az' else 'bucket'}"
        return ObstoreStore(ObjectOptions(uri, server.url, account_name=account, **limits))  # type: ignore[arg-type]

    @pytest.mark.parametrize(("code", "error"), [(404, ObjectNotFound), (403, AccessDenied), (401, AccessDenied)])
    def test_what_is_not_there_or_not_allowed_is_said_at_once(
        self, store: ObstoreStore, server: RawS3Server, code: int, error: type[StorageError]
    ) -> None:
        server.plan(then=status(code, "Code", "a message"))
        with pytest.raises(error, match="some/key"):
            store.get("some/key")
        with pytest.raises(error, match="some/key"):
            on_loop(store, lambda: store.aget("some/key"))
        assert len(server.seen) == 2

    @pytest.mark.parametrize("failure", [status(503), status(429), reset, short])
    def test_what_may_pass_is_tried_again(self, store: ObstoreStore, server: RawS3Server, failure: Action) -> None:
        server.plan(failure)
        assert store.get("some/key") == BODY

    def test_after_the_last_attempt_the_error_names_object_and_attempts(
        self, store: ObstoreStore, server: RawS3Server
    ) -> None:
        server.plan(then=status(503))
        with pytest.raises(StorageError, match=r"some/key.*503.*attempts: 3"):
            store.get("some/key")
        assert len(server.seen) == 3

    def test_a_part_of_a_body_is_read_where_the_server_serves_ranges(
        self, store: ObstoreStore, server: RawS3Server
    ) -> None:
        assert store.get_range("some/key", 3, 7) == BODY[3:7]
        server.plan(then=whole_whatever_the_range)
        with pytest.raises(StorageError, match="some/key"):
            store.get_range("some/key", 3, 7)
