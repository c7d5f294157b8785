"""Credentials that expire while a process runs: newer ones are found, once for all, whatever the client."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aws_environment import isolate_aws, write_keys
from store_contract import on_loop

from benchmarking.endpoint import S3Endpoint
from concurrent_dataloader._base.errors import AccessDenied
from concurrent_dataloader.storage import S3Options, S3Store, StaticCredentials, renewal, s3, s3_obstore
from concurrent_dataloader.storage.renewal import Renewal

BODY = b"body"
CLIENTS = ["obstore", "boto3", "aiobotocore"]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[S3Endpoint]:
    with S3Endpoint({"key": BODY}, bucket="bucket") as endpoint:
        yield endpoint


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    isolate_aws(monkeypatch, tmp_path, credentials=False)
    return tmp_path


def write_token(aws: Path, token: str) -> None:
    write_keys(aws, session_token=token)


def serve_keys_by_a_process(aws: Path, token: str) -> None:
    """As ``credential_process``, whose keys botocore renews shortly before their end."""
    end = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    answer = {"Version": 1, "AccessKeyId": "key", "SecretAccessKey": "secret", "SessionToken": token, "Expiration": end}
    (aws / "answer.json").write_text(json.dumps(answer))
    script = aws / "process.py"
    script.write_text(f"print(open({str(aws / 'answer.json')!r}).read())")
    (aws / "config").write_text(f"[default]\ncredential_process = {sys.executable} {script}\n")


def reading(endpoint: S3Endpoint, client: str) -> tuple[S3Store, Callable[[], Any]]:
    """Returns a store, and a coroutine function or a function that reads its object."""
    store = S3Store(S3Options("bucket", endpoint.url, client=client, deadline_s=20.0))  # type: ignore[arg-type]
    return store, (lambda: store.aget("key"))


@pytest.mark.parametrize("provide", [write_token, serve_keys_by_a_process])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_token_that_was_replaced_is_found_by_the_running_process(
    endpoint: S3Endpoint, aws: Path, client: str, provide: Callable[[Path, str], None], caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.configure(session_token="first-token")
    provide(aws, "first-token")
    store, read = reading(endpoint, client)

    async def run() -> None:
        assert await read() == store.get("key") == BODY
        endpoint.configure(session_token="second-token")
        provide(aws, "second-token")
        with caplog.at_level(logging.INFO, "concurrent_dataloader"):
            assert await read() == store.get("key") == BODY
        endpoint.reset_stats()
        assert await read() == BODY
        assert endpoint.stats().requests == {"GET": 1}  # the newer credentials are kept
        await store.aclose()

    asyncio.run(run())
    assert "new credentials in place of expired ones" in caplog.text
    assert "-token" not in caplog.text


@pytest.mark.parametrize("client", CLIENTS)
def test_without_newer_credentials_access_is_denied_after_one_request(
    endpoint: S3Endpoint, aws: Path, client: str
) -> None:
    write_token(aws, "old-token")
    endpoint.configure(session_token="new-token")
    endpoint.reset_stats()
    store, read = reading(endpoint, client)
    with pytest.raises(AccessDenied, match=r"s3://bucket/key .*ExpiredToken") as caught:
        on_loop(store, read)
    assert endpoint.stats().requests == {"GET": 1}
    assert "-token" not in str(caught.value)


@pytest.mark.parametrize("client", ["obstore", "boto3"])
def test_newer_credentials_that_are_refused_too_end_the_request(endpoint: S3Endpoint, aws: Path, client: str) -> None:
    write_token(aws, "first-token")
    endpoint.configure(session_token="first-token")
    store, _ = reading(endpoint, client)
    assert store.get("key") == BODY
    write_token(aws, "wrong-token")
    endpoint.configure(session_token="second-token")
    endpoint.reset_stats()
    with pytest.raises(AccessDenied, match="ExpiredToken"):
        store.get("key")
    assert endpoint.stats().requests == {"GET": 2}


@pytest.mark.parametrize("client", ["obstore", "boto3"])
def test_many_threads_look_for_newer_credentials_once(
    endpoint: S3Endpoint, aws: Path, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[S3Options] = []
    connect = s3.connect

    def counting(options: S3Options) -> Any:
        looks.append(options)
        return connect(options)

    monkeypatch.setattr(s3, "connect", counting)
    write_token(aws, "first-token")
    endpoint.configure(session_token="first-token")
    store, _ = reading(endpoint, client)
    assert store.get("key") == BODY
    write_token(aws, "second-token")
    endpoint.configure(session_token="second-token")
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda _: store.get("key"), range(64))) == {BODY}
    assert len(looks) == 2


def test_listing_goes_on_with_newer_credentials_too(endpoint: S3Endpoint, aws: Path) -> None:
    write_token(aws, "first-token")
    endpoint.configure(session_token="first-token")
    store, _ = reading(endpoint, "obstore")
    assert [each.key for each in store.list()] == ["key"]
    write_token(aws, "second-token")
    endpoint.configure(session_token="second-token")
    assert [each.key for each in store.list()] == ["key"]


def test_keys_of_a_credentials_file_are_not_looked_for_anew(endpoint: S3Endpoint) -> None:
    static = StaticCredentials("key", "secret", "old-token")
    endpoint.configure(session_token="new-token")
    endpoint.reset_stats()
    with pytest.raises(AccessDenied, match="ExpiredToken"):
        S3Store(S3Options("bucket", endpoint.url, fallback_credentials=static)).get("key")
    assert endpoint.stats().requests == {"GET": 1}


def test_obstore_asks_for_credentials_again_before_they_end(
    endpoint: S3Endpoint, aws: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # obstore asks five minutes before the end, so with such a short life for each request, a tenth of a second apart.
    monkeypatch.setattr(s3_obstore, "CREDENTIALS_LIFE", timedelta(minutes=1))
    endpoint.configure(session_token=None)
    serve_keys_by_a_process(aws, "first-token")
    store, _ = reading(endpoint, "obstore")
    credentials = store._connection.get().credentials
    handed_out: list[str] = []
    give = credentials.get_frozen_credentials
    monkeypatch.setattr(credentials, "get_frozen_credentials", lambda: handed_out.append("") or give())
    end_s = time.monotonic() + 20.0
    while len(handed_out) < 3 and time.monotonic() < end_s:
        assert store.get("key") == BODY
    assert len(handed_out) == 3


class TestRenewal:
    def test_who_began_before_the_renewal_tries_again_without_looking(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now_s = 100.0
        monkeypatch.setattr(renewal.time, "monotonic", lambda: now_s)
        looks: list[int] = []
        renew = Renewal(lambda: not looks.append(1))
        assert renew(90.0)
        assert renew(95.0)
        assert len(looks) == 1

    def test_who_began_after_it_looks_again_but_not_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now_s = 100.0
        monkeypatch.setattr(renewal.time, "monotonic", lambda: now_s)
        looks: list[int] = []
        renew = Renewal(lambda: not looks.append(1))
        assert renew(90.0)
        now_s = 101.0
        assert not renew(100.5)
        now_s = 100.0 + renewal.PAUSE_S
        assert renew(101.0)
        assert len(looks) == 2

    def test_a_chain_that_has_none_any_more_is_no_renewal(self) -> None:
        def find() -> bool:
            raise AccessDenied("no credentials")

        assert not Renewal(find)(0.0)

    def test_threads_wait_for_the_one_that_looks(self) -> None:
        begun, found, looks = threading.Event(), threading.Event(), []

        def find() -> bool:
            looks.append(1)
            begun.set()
            return found.wait(20.0)

        renew = Renewal(find)
        start_s = renewal.time.monotonic()
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(renew, start_s)
            assert begun.wait(20.0)
            second = pool.submit(renew, start_s)
            found.set()
            assert first.result() is second.result() is True
        assert len(looks) == 1
