"""Which stores share entries: the same place does, whatever the environment calls it, and no two places do."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from aws_environment import isolate_aws
from counting_store import cached

from concurrent_dataloader._base.errors import AccessDenied
from concurrent_dataloader.storage import S3Options, S3Store


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate_aws(monkeypatch, tmp_path)


def keep_one(folder: Path, options: S3Options) -> None:
    assert cached(S3Store(options), folder).keep("a", b"body")


def has_it(folder: Path, options: S3Options) -> bool:
    return cached(S3Store(options), folder).kept_bytes("a") is not None


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_endpoints_of_the_environment_are_told_apart(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    options = S3Options("bucket")
    keep_one(folder, options)
    monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert not has_it(folder, options)
    monkeypatch.setenv(name, "http://127.0.0.1:2")
    assert not has_it(folder, options)
    monkeypatch.delenv(name)
    assert has_it(folder, options)


def test_an_endpoint_is_the_same_whether_the_environment_or_an_argument_names_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_one(folder, S3Options("bucket", "http://127.0.0.1:1/"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert has_it(folder, S3Options("bucket"))


def test_buckets_are_told_apart_and_clients_and_signatures_are_not(folder: Path) -> None:
    keep_one(folder, S3Options("bucket"))
    assert not has_it(folder, S3Options("bucket2"))
    assert has_it(folder, S3Options("bucket", client="boto3", unsigned=True))


def test_a_store_that_has_sent_requests_is_the_same_as_one_that_has_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    connected = S3Store(S3Options("bucket"))
    connected._connection.get()
    assert "127.0.0.1" in connected.describe("a")
    assert cached(connected, folder).keep("a", b"body")
    assert has_it(folder, S3Options("bucket"))
    assert pickle.loads(pickle.dumps(cached(connected, folder))).get("a") == b"body"


def test_a_broken_aws_configuration_is_said_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    with pytest.raises(AccessDenied, match="no-such-profile"):
        cached(S3Store(S3Options("bucket")), folder)
