"""Web servers: exact keys, verified certificates, and no listing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from raw_s3_server import BODY, RawS3Server, Request
from store_contract import NAMES_TO_ESCAPE, on_loop
from tls_server import TlsS3Server

from concurrent_dataloader._base.errors import OptionError, StorageError
from concurrent_dataloader.storage import ObjectInfo, ObjectOptions, ObstoreStore


@pytest.fixture
def server() -> Iterator[RawS3Server]:
    with RawS3Server() as server:
        yield server


@pytest.mark.parametrize("end", ["", "/"])
def test_keys_are_exact_paths_below_the_uri(server: RawS3Server, end: str) -> None:
    store = ObstoreStore(ObjectOptions(f"{server.url}/a%20base/ü{end}"))
    for key in NAMES_TO_ESCAPE:
        assert store.get(key) == BODY
        assert store.describe(key) == f"{server.url}/a%20base/ü/{key}"
    assert [unquote(path) for _, path, _ in server.seen] == [f"/a base/ü/{key}" for key in NAMES_TO_ESCAPE]


def test_a_uri_may_be_a_host_alone(server: RawS3Server) -> None:
    store = ObstoreStore(ObjectOptions(server.url))
    assert store.get("a/b") == on_loop(store, lambda: store.aget("a/b")) == BODY
    assert store.head("a/b") == ObjectInfo("a/b", len(BODY))
    assert {path for _, path, _ in server.seen} == {"/a/b"}


def test_a_web_server_cannot_be_listed_and_the_remedy_is_named(server: RawS3Server) -> None:
    store = ObstoreStore(ObjectOptions(server.url))
    for listing in (store.list, store.list_prefixes):
        with pytest.raises(OptionError, match="cannot be listed; expected an index file"):
            listing()
    assert server.seen == []


def test_a_body_without_an_announced_length_is_an_error(server: RawS3Server) -> None:
    def unmeasured(request: Request) -> None:
        request.send_response(200)
        request.end_headers()
        request.wfile.write(BODY)
        request.close_connection = True

    server.plan(then=unmeasured)
    with pytest.raises(StorageError, match=r"key: .*Content-Length"):
        ObstoreStore(ObjectOptions(server.url, max_attempts=1)).get("key")


def test_https_is_verified_against_the_bundle_that_is_given(tmp_path: Path) -> None:
    with TlsS3Server(tmp_path) as server:
        with pytest.raises(StorageError, match=r"(?i)certificate|UnknownIssuer"):
            ObstoreStore(ObjectOptions(server.url, max_attempts=1)).get("key")
        assert server.seen == []
        assert ObstoreStore(ObjectOptions(server.url, ca_bundle=server.ca_bundle)).get("key") == BODY


def test_https_is_never_redirected_to_plain_http(server: RawS3Server, tmp_path: Path) -> None:
    with TlsS3Server(tmp_path) as secure:
        secure.plan(then=lambda request: request.answer(302, b"", Location=f"{server.url}/key"))
        store = ObstoreStore(ObjectOptions(secure.url, ca_bundle=secure.ca_bundle, max_attempts=1))
        with pytest.raises(StorageError, match="key"):
            store.get("key")
    assert server.seen == []
