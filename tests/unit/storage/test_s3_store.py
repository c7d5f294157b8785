"""How an S3 store is configured, and which client it picks."""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aws_environment import isolate_aws

from concurrent_dataloader._base.errors import OptionError
from concurrent_dataloader.storage import S3Options, S3Store, s3_obstore
from concurrent_dataloader.storage.attempt_clients import limits_of
from concurrent_dataloader.storage.obstore_objects import addressable, client_settings
from concurrent_dataloader.storage.process_local import ProcessLocal

ENDPOINT_URL = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate_aws(monkeypatch, tmp_path)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"bucket_name": ""}, "bucket_name"),
        ({"bucket_name": "bucket/folder"}, "bucket_name"),
        ({"client": "s3fs"}, "client: expected one of obstore, boto3, aiobotocore"),
        ({"endpoint_url": "localhost:9000"}, "endpoint_url"),
        ({"endpoint_url": "ftp://host"}, "endpoint_url"),
        ({"endpoint_url": "http://host:port"}, "endpoint_url"),
        ({"max_concurrency": 0}, "max_concurrency"),
        ({"max_attempts": 1.5}, "max_attempts"),
        ({"deadline_s": 0}, "deadline_s"),
        ({"read_timeout_s": float("nan")}, "read_timeout_s"),
        ({"connect_timeout_s": float("inf")}, "connect_timeout_s"),
        ({"ca_bundle": "/no/such.pem"}, "ca_bundle"),
    ],
)
def test_a_wrong_option_is_refused_at_construction_by_its_name(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(OptionError, match=named):
        S3Options(**({"bucket_name": "bucket"} | changes))


@pytest.mark.parametrize("key", ["a", "a/b.bin", "a..b/.c", "...", "a b", "ünï", "a%2Fb"])
def test_obstore_reads_keys_that_it_takes_as_they_are(key: str) -> None:
    assert addressable(key)


@pytest.mark.parametrize(
    "key", ["", "/leading.bin", "trailing/", "a//b", "//", "./a", "a/./b", "a/.", "../a", "a/../b", "a/..", "a\nb"]
)
def test_keys_that_obstore_would_change_are_not_for_obstore(key: str) -> None:
    assert not addressable(key)
    store = S3Store(S3Options("bucket", ENDPOINT_URL))
    assert store._reader(key) is store._boto3


@pytest.mark.parametrize(("endpoint_url", "allowed"), [("http://host", True), ("https://host", False)])
def test_plain_http_is_allowed_only_where_the_endpoint_says_so(endpoint_url: str, allowed: bool) -> None:
    options = client_settings(limits_of(S3Options("bucket", endpoint_url), 0), endpoint_url, None)
    assert options["allow_http"] is allowed
    assert options["allow_invalid_certificates"] is False


def test_the_pool_of_connections_fits_the_concurrency_that_the_loader_names() -> None:
    store = S3Store(S3Options("bucket", ENDPOINT_URL, client="boto3"))
    store.set_max_concurrency(77)
    assert store._boto3.client().meta.config.max_pool_connections == 77


def test_a_custom_endpoint_is_addressed_by_path_and_aws_by_its_own_rules() -> None:
    custom = S3Store(S3Options("bucket", ENDPOINT_URL))._boto3.client()
    assert custom.meta.config.s3["addressing_style"] == "path"
    aws = S3Store(S3Options("bucket", region_name="eu-west-1"))._boto3.client()
    assert "addressing_style" not in (aws.meta.config.s3 or {})
    assert aws.meta.endpoint_url == "https://s3.eu-west-1.amazonaws.com"


def test_building_and_pickling_a_store_builds_no_client() -> None:
    store = S3Store(S3Options("bucket", ENDPOINT_URL))
    copy = pickle.loads(pickle.dumps(store))
    assert copy.options == store.options
    for each in (store, copy):
        assert each._connection.peek() is None
        assert each._boto3._clients.peek() is None


def test_a_pickled_store_leaves_its_clients_behind() -> None:
    store = S3Store(S3Options("bucket", ENDPOINT_URL))
    store._boto3.client()
    assert pickle.loads(pickle.dumps(store))._boto3._clients.peek() is None


def test_threads_that_ask_at_once_share_one_value_that_was_built_once() -> None:
    built: list[object] = []

    def build() -> object:
        built.append(object())
        return built[-1]

    value = ProcessLocal(build)
    with ThreadPoolExecutor(16) as pool:
        got = {id(each) for each in pool.map(lambda _: value.get(), range(200))}
    assert len(built) == len(got) == 1


def test_a_missing_aiobotocore_is_named_with_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find: Callable[..., Any] = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "aiobotocore" else find(name))
    with pytest.raises(OptionError, match=r"pip install concurrent-dataloader\[aiobotocore\]"):
        S3Store(S3Options("bucket", ENDPOINT_URL, client="aiobotocore"))


@pytest.mark.parametrize(
    ("options", "answer", "expected"),
    [
        ({"region_name": "eu-west-1"}, None, ("https://s3.eu-west-1.amazonaws.com", "eu-west-1")),
        ({}, "us-east-1", ("https://s3.amazonaws.com", "us-east-1")),
        ({}, "eu-west-1", ("https://s3.eu-west-1.amazonaws.com", "eu-west-1")),
    ],
)
def test_a_bucket_on_aws_is_read_in_its_own_region(
    options: dict[str, str], answer: str | None, expected: tuple[str, str]
) -> None:
    region_name = options.get("region_name", "us-east-1")
    suffix = "" if region_name == "us-east-1" else f".{region_name}"

    class Meta:
        endpoint_url = f"https://s3{suffix}.amazonaws.com"

    Meta.region_name = region_name  # type: ignore[attr-defined]

    class Client:
        meta = Meta

        def head_bucket(self, **_: str) -> dict[str, Any]:
            assert answer is not None, "the region is known: nothing has to be asked"
            return {"ResponseMetadata": {"HTTPHeaders": {"x-amz-bucket-region": answer}}}

    assert s3_obstore.locate_on_aws(Client(), S3Options("bucket", **options)) == expected
