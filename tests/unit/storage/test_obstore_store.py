"""Google's and Azure's stores: the contract of all stores, and what is particular to reading them through obstore."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_azure import FakeAzure
from provider_environment import isolate_providers
from store_contract import StoreContract

from benchmarking.endpoint import S3Endpoint
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
