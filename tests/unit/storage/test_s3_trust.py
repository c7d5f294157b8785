"""Whom an S3 store believes: certificates, redirects, and answers that contradict themselves, for all three clients."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_environment import isolate_aws
from raw_s3_server import BODY, RawS3Server, Request
from tls_server import TlsS3Server

from concurrent_dataloader._base.errors import StorageError
from concurrent_dataloader.storage import S3Options, S3Store

CLIENTS = pytest.mark.parametrize("client", ["obstore", "boto3", "aiobotocore"])
TOKEN = "the-session-token"


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate_aws(monkeypatch, tmp_path)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)


@pytest.fixture
def server() -> Iterator[RawS3Server]:
    with RawS3Server() as server:
        yield server


@pytest.fixture
def another() -> Iterator[RawS3Server]:
    with RawS3Server() as server:
        yield server


def read(client: Any, url: str, ca_bundle: str | None = None) -> bytes:
    """Reads on an event loop, which all three clients serve."""
    limits: dict[str, Any] = {"max_attempts": 2, "deadline_s": 20.0}
    store = S3Store(S3Options("bucket", url, client=client, ca_bundle=ca_bundle, **limits))

    async def run() -> bytes:
        try:
            return await store.aget("key")
        finally:
            await store.aclose()

    return asyncio.run(run())


@CLIENTS
@pytest.mark.parametrize(
    "certificate", [{"address": "192.0.2.1"}, {"self_signed": True}], ids=["of another host", "signed by itself"]
)
def test_a_certificate_that_proves_nothing_is_refused_before_anything_is_sent(
    client: str, certificate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Names that object_store would read from the environment: what a user sets for other programs loosens nothing here.
    for name in ("AWS_ALLOW_INVALID_CERTIFICATES", "ALLOW_INVALID_CERTIFICATES", "AWS_ALLOW_HTTP"):
        monkeypatch.setenv(name, "true")
    with TlsS3Server(tmp_path, **certificate) as server:
        with pytest.raises(StorageError, match=r"(?i)certificate|UnknownIssuer|doesn't match '192"):
            read(client, server.url, server.ca_bundle)
    assert server.seen == []


@CLIENTS
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_https_is_never_redirected_to_plain_http(
    client: str, status: int, another: RawS3Server, tmp_path: Path
) -> None:
    with TlsS3Server(tmp_path) as server:
        server.plan(then=lambda request: request.answer(status, b"", Location=f"{another.url}/bucket/key"))
        with pytest.raises(StorageError, match="s3://bucket/key"):
            read(client, server.url, server.ca_bundle)
    assert server.seen != []
    assert another.seen == []


@CLIENTS
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_other_host_gets_the_signature_and_only_obstore_goes_there_at_all(
    client: str, status: int, server: RawS3Server, another: RawS3Server
) -> None:
    elsewhere = another.url.replace("127.0.0.1", "localhost")
    server.plan(then=lambda request: request.answer(status, b"", Location=f"{elsewhere}/bucket/key"))
    if client == "obstore":  # its HTTP client follows, and cannot be told not to; the signature stays behind
        assert read(client, server.url) == BODY
    else:
        with pytest.raises(StorageError, match=f"s3://bucket/key .*status {status}"):
            read(client, server.url)
    assert len(another.seen) == (client == "obstore")
    assert "authorization" not in {name.lower() for _, _, headers in another.seen for name in headers}


def between_10_and_30(sent: slice, content_range: str) -> Any:
    return lambda request: request.answer(206, BODY[sent], Content_Range=content_range)


@pytest.mark.parametrize("client", ["obstore", "boto3"])
@pytest.mark.parametrize(
    "answer",
    [
        between_10_and_30(slice(10, 15), "bytes 10-14/100"),
        between_10_and_30(slice(10, 15), "bytes 10-29/100"),
        between_10_and_30(slice(10, 50), "bytes 10-49/100"),
        between_10_and_30(slice(10, 30), "bytes 10-29/25"),
    ],
    ids=["shorter", "shorter than it says", "longer", "beyond the end that it tells"],
)
def test_a_range_other_than_the_one_that_was_asked_for_is_never_handed_on(
    client: Any, server: RawS3Server, answer: Any
) -> None:
    server.plan(then=answer)
    with pytest.raises(StorageError, match="s3://bucket/key"):
        S3Store(S3Options("bucket", server.url, client=client, max_attempts=2)).get_range("key", 10, 30)


def without_a_length(request: Request) -> None:
    request.send_response(200)
    request.send_header("Connection", "close")
    request.end_headers()
    request.wfile.write(BODY[:50])
    request.close_connection = True


@CLIENTS
def test_a_body_whose_end_nobody_announces_is_never_handed_on(client: str, server: RawS3Server) -> None:
    server.plan(then=without_a_length)
    with pytest.raises(StorageError, match=r"s3://bucket/key.*(announces no length|Content-Length)"):
        read(client, server.url)
