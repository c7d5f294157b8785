"""What S3-compatible stores differ in: addressing, certificates, region and signatures, alike for all three clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_environment import isolate_aws
from raw_s3_server import BODY, RawS3Server
from tls_server import TlsS3Server

from concurrent_dataloader._base.errors import OptionError, StorageError
from concurrent_dataloader.dataset import S3Dataset
from concurrent_dataloader.storage import S3Options, S3Store

CLIENTS = ["obstore", "boto3", "aiobotocore"]


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate_aws(monkeypatch, tmp_path)


@pytest.fixture
def server() -> Iterator[RawS3Server]:
    with RawS3Server() as server:
        yield server


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[TlsS3Server]:
    with TlsS3Server(tmp_path) as server:
        yield server


def read(store: S3Store) -> bytes:
    """Reads through the client of the store's name: aiobotocore serves event loops alone."""

    async def aread() -> bytes:
        try:
            return await store.aget("folder/key")
        finally:
            await store.aclose()

    return asyncio.run(aread()) if store.options.client == "aiobotocore" else store.get("folder/key")


def options(client: str, **others: Any) -> S3Options:
    return S3Options("bucket", client=client, max_attempts=1, **others)  # type: ignore[arg-type]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("style", "host", "path"),
    [
        ("virtual", "bucket.store.test", "/folder/key"),
        ("path", "store.test", "/bucket/folder/key"),
        ("auto", "store.test", "/bucket/folder/key"),
    ],
)
def test_the_buckets_name_goes_where_the_addressing_style_says(
    server: RawS3Server, monkeypatch: pytest.MonkeyPatch, client: str, style: Any, host: str, path: str
) -> None:
    # As a proxy the server is asked for hosts that no name service knows.
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("http_proxy", server.url)
    store = S3Store(options(client, endpoint_url="http://store.test", addressing_style=style))
    assert read(store) == BODY
    [(_, url, headers)] = server.seen
    assert url == f"http://{host}{path}"
    assert {name.lower(): value for name, value in headers.items()}["host"] == host


@pytest.mark.parametrize(("style", "expected"), [("auto", None), ("path", "path"), ("virtual", "virtual")])
def test_at_aws_boto3_is_told_a_style_only_where_one_is_given(style: Any, expected: str | None) -> None:
    store = S3Store(S3Options("bucket", region_name="eu-west-1", addressing_style=style))
    assert (store._boto3.client().meta.config.s3 or {}).get("addressing_style") == expected


@pytest.mark.parametrize("client", ["obstore", "boto3"])
def test_an_error_at_aws_names_the_endpoint_that_aws_gave(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")  # nothing gets out of the tests
    store = S3Store(S3Options("bucket", region_name="eu-west-1", client=client, max_attempts=1))
    with pytest.raises(StorageError, match=r"s3://bucket/key \(endpoint https://s3\.eu-west-1\.amazonaws\.com\): "):
        store.get("key")
    assert store.describe("key") == "s3://bucket/key"  # the cache tells stores apart by it


@pytest.mark.parametrize(
    ("bucket_name", "style", "endpoint_url"),
    [
        ("bucket", "auto", "https://bucket.s3.eu-west-1.amazonaws.com"),
        ("with.dot", "auto", "https://s3.eu-west-1.amazonaws.com"),
        ("bucket", "path", "https://s3.eu-west-1.amazonaws.com"),
        ("with.dot", "virtual", "https://with.dot.s3.eu-west-1.amazonaws.com"),
    ],
)
def test_at_aws_obstore_addresses_the_bucket_as_the_style_says(bucket_name: str, style: Any, endpoint_url: str) -> None:
    store = S3Store(S3Options(bucket_name, region_name="eu-west-1", addressing_style=style))
    assert store._obstore._stores.get().config["endpoint"] == endpoint_url


def test_an_addressing_style_that_there_is_not_is_refused() -> None:
    with pytest.raises(OptionError, match="addressing_style: expected one of auto, path, virtual, got 'dns'"):
        S3Options("bucket", addressing_style="dns")  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["127.0.0.1:9000", "[::1]:9000"])
def test_no_bucket_can_go_before_a_number_for_a_host(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="addressing_style"):
        S3Options("bucket", f"http://{host}", addressing_style="virtual")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{host}")
    with pytest.raises(OptionError, match="addressing_style"):
        S3Store(S3Options("bucket", addressing_style="virtual", client="boto3")).get("key")


@pytest.mark.parametrize("client", CLIENTS)
def test_a_certificate_of_a_private_authority_is_accepted_where_its_bundle_is_given(
    tls_server: TlsS3Server, client: str
) -> None:
    assert read(S3Store(options(client, endpoint_url=tls_server.url, ca_bundle=tls_server.ca_bundle))) == BODY


@pytest.mark.parametrize("client", CLIENTS)
def test_a_certificate_of_a_private_authority_is_accepted_where_the_environment_names_its_bundle(
    tls_server: TlsS3Server, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", tls_server.ca_bundle)
    assert read(S3Store(options(client, endpoint_url=tls_server.url))) == BODY


@pytest.mark.parametrize("client", CLIENTS)
def test_a_certificate_of_a_private_authority_is_refused_without_its_bundle(
    tls_server: TlsS3Server, client: str
) -> None:
    with pytest.raises(StorageError, match=r"(?i)certificate|UnknownIssuer"):
        read(S3Store(options(client, endpoint_url=tls_server.url)))
    assert tls_server.seen == []


@pytest.mark.parametrize("client", CLIENTS)
def test_unsigned_requests_carry_no_signature_and_signed_ones_the_region(server: RawS3Server, client: str) -> None:
    assert read(S3Store(options(client, endpoint_url=server.url, unsigned=True))) == BODY
    assert read(S3Store(options(client, endpoint_url=server.url, region_name="eu-central-9"))) == BODY
    unsigned, signed = ({name.lower(): value for name, value in headers.items()} for _, _, headers in server.seen)
    assert "authorization" not in unsigned
    assert "/eu-central-9/s3/" in signed["authorization"]


def test_the_credentials_file_names_addressing_and_a_bundle_beside_itself(
    tls_server: TlsS3Server, tmp_path: Path
) -> None:
    (tmp_path / "index.json").write_text('["folder/key"]')
    file = tmp_path / "credentials.json"
    entries = {"bucket_name": "bucket", "endpoint_url": tls_server.url, "addressing_style": "path"}
    file.write_text(json.dumps(entries | {"ca_bundle": "ca.pem"}))
    dataset = S3Dataset(tmp_path / "index.json", s3_credential_file=file, decoder=bytes)
    assert dataset[0] == BODY
    assert dataset.store.options.addressing_style == "path"  # type: ignore[attr-defined]
    assert dataset.store.options.ca_bundle == str(tmp_path / "ca.pem")  # type: ignore[attr-defined]


def test_arguments_of_the_dataset_win_over_the_credentials_file(tls_server: TlsS3Server, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text('["folder/key"]')
    file = tmp_path / "credentials.json"
    file.write_text('{"bucket_name": "bucket", "addressing_style": "virtual", "ca_bundle": "no-such.pem"}')
    with pytest.raises(OptionError, match="ca_bundle.*no-such.pem"):
        S3Dataset(tmp_path / "index.json", s3_credential_file=file)
    dataset = S3Dataset(
        tmp_path / "index.json",
        s3_credential_file=file,
        endpoint_url=tls_server.url,
        addressing_style="path",
        ca_bundle=Path(tls_server.ca_bundle),
        decoder=bytes,
    )
    assert dataset[0] == BODY
