"""How stores of other kinds than S3 are configured."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from provider_environment import TOKEN, isolate_providers

from concurrent_dataloader._base.errors import OptionError
from concurrent_dataloader.storage import ObjectOptions, ObstoreStore


@pytest.fixture(autouse=True)
def _providers(monkeypatch: pytest.MonkeyPatch) -> None:
    isolate_providers(monkeypatch)


@pytest.mark.parametrize(
    ("uri", "others", "named"),
    [
        ("s3://bucket", {}, "uri: expected gs://bucket"),
        ("gs://", {}, "uri"),
        ("gs://bucket/prefix", {}, "uri"),
        ("gs://user:word@bucket", {}, "uri"),
        ("bucket", {}, "uri"),
        (None, {}, "uri: .*got NoneType"),
        ("HTTPS://host", {}, "small letters"),
        ("https://", {}, "uri: expected https://host"),
        ("https://host:port", {}, "uri: .* no URL"),
        ("https://host/path#part", {}, "fragment"),
        ("az://container", {}, "account_name.*AZURE_STORAGE_ACCOUNT_NAME"),
        ("gs://bucket", {"account_name": "a"}, "account_name: does not go with gs://bucket"),
        ("https://host", {"endpoint_url": "https://other"}, "endpoint_url: does not go with"),
        ("https://host", {"unsigned": True}, "unsigned"),
        ("gs://bucket", {"endpoint_url": "ftp://host"}, "endpoint_url"),
        ("gs://bucket", {"max_attempts": 0}, "max_attempts"),
        ("gs://bucket", {"ca_bundle": "/no/such.pem"}, "ca_bundle"),
    ],
)
def test_a_wrong_option_is_refused_at_construction_by_its_name(uri: Any, others: dict[str, Any], named: str) -> None:
    with pytest.raises(OptionError, match=named):
        ObjectOptions(uri, **others)


@pytest.mark.parametrize("uri", ["https://user:secret-word@host/path", "https://host/path?sig=secret-word"])
def test_a_secret_in_a_uri_is_refused_and_not_shown(uri: str) -> None:
    with pytest.raises(OptionError) as caught:
        ObjectOptions(uri)
    assert "secret-word" not in str(caught.value)


def test_account_and_endpoint_come_from_the_environment_once_and_travel_with_the_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "mine")
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", "https://azure.test")
    monkeypatch.setenv("GOOGLE_BASE_URL", "https://google.test")
    azure, google = ObstoreStore(ObjectOptions("az://container")), ObstoreStore(ObjectOptions("gs://bucket"))
    isolate_providers(monkeypatch)
    assert (
        pickle.loads(pickle.dumps(azure)).describe("k")
        == "az://container/k (account mine, endpoint https://azure.test)"
    )
    assert pickle.loads(pickle.dumps(google)).describe("k") == "gs://bucket/k (endpoint https://google.test)"


@pytest.mark.parametrize(
    ("uri", "others", "allowed"),
    [
        ("gs://bucket", {}, "false"),
        ("gs://bucket", {"endpoint_url": "http://host"}, "true"),
        ("az://container", {"account_name": "a"}, "false"),
        ("https://host/base", {}, "false"),
        ("http://host/base", {}, "true"),
    ],
)
def test_plain_http_is_allowed_only_where_the_address_says_so(uri: str, others: dict[str, Any], allowed: str) -> None:
    settings = ObstoreStore(ObjectOptions(uri, **others))._objects._stores.get().client_options
    assert str(settings["allow_http"]).lower() == allowed
    assert str(settings["allow_invalid_certificates"]).lower() == "false"


def test_a_credential_shows_in_no_repr_and_in_no_pickle() -> None:
    store = ObstoreStore(ObjectOptions("gs://bucket"))
    store._objects._stores.get()  # has read the token
    assert TOKEN not in repr(store)
    assert TOKEN.encode() not in pickle.dumps(store)
    assert store._objects._stores.peek() is not None
    assert pickle.loads(pickle.dumps(store))._objects._stores.peek() is None
