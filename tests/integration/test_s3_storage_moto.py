"""The S3 store with each of its clients against moto's server, which knows S3's rules for listings and errors."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator

import pytest
from aws_environment import isolate_aws
from moto.server import ThreadedMotoServer
from store_contract import KeysAreOpaqueContract, StoreContract, on_loop

from concurrent_dataloader._base.errors import ObjectNotFound
from concurrent_dataloader.storage import ObjectInfo, S3Options, S3Store, s3_boto3
from concurrent_dataloader.storage.options import ClientName

_numbers = itertools.count()


@pytest.fixture(scope="module")
def endpoint_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as monkeypatch:
        isolate_aws(monkeypatch, tmp_path_factory.mktemp("aws"))
        yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


def new_store(endpoint_url: str, client: ClientName) -> S3Store:
    """Returns a store over a bucket of its own."""
    store = S3Store(S3Options(f"bucket-{next(_numbers)}", endpoint_url, client=client))
    store._boto3.client().create_bucket(Bucket=store.options.bucket_name)
    return store


class TestS3StoreThroughObstore(StoreContract, KeysAreOpaqueContract):
    @pytest.fixture
    def store(self, endpoint_url: str) -> S3Store:
        return new_store(endpoint_url, "obstore")


class TestS3StoreThroughBoto3(StoreContract, KeysAreOpaqueContract):
    @pytest.fixture
    def store(self, endpoint_url: str) -> S3Store:
        return new_store(endpoint_url, "boto3")


class TestS3StoreThroughAiobotocore(StoreContract, KeysAreOpaqueContract):
    @pytest.fixture
    def store(self, endpoint_url: str) -> S3Store:
        return new_store(endpoint_url, "aiobotocore")


def test_listings_of_several_pages_are_complete(endpoint_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_boto3, "PAGE_SIZE", 2)
    store = new_store(endpoint_url, "obstore")
    keys = ["a/1", "a/2", "a b+%/3", "b/1", "c", "d"]
    for key in keys:
        store.put(key, b"12")
    assert list(store.list()) == [ObjectInfo(key, 2) for key in sorted(keys)]
    assert store.list_prefixes() == (["a b+%/", "a/", "b/"], [ObjectInfo("c", 2), ObjectInfo("d", 2)])


@pytest.mark.parametrize("client", ["obstore", "boto3", "aiobotocore"])
def test_a_missing_bucket_is_an_object_not_found_that_names_it(endpoint_url: str, client: ClientName) -> None:
    store = S3Store(S3Options("no-such-bucket", endpoint_url, client=client))
    for use in (store.get, store.head, lambda key: list(store.list(key)), lambda key: store.put(key, b"")):
        with pytest.raises(ObjectNotFound, match="no-such-bucket"):
            use("key")
    with pytest.raises(ObjectNotFound, match="no-such-bucket"):
        on_loop(store, lambda: store.aget("key"))


@pytest.mark.parametrize("client", ["obstore", "boto3", "aiobotocore"])
def test_a_body_that_is_stored_compressed_is_read_as_it_is_stored(endpoint_url: str, client: ClientName) -> None:
    store = new_store(endpoint_url, client)
    body = b"\x1f\x8b no gzip at all"
    bucket = store.options.bucket_name
    store._boto3.client().put_object(Bucket=bucket, Key="key", Body=body, ContentEncoding="gzip")
    assert store.get("key") == body
    assert on_loop(store, lambda: store.aget("key")) == body
