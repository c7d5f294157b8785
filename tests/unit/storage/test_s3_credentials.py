"""As whom an S3 store is asked: the standard AWS chain first, the credentials file last, and no secret anywhere."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aws_environment import isolate_aws, write_keys
from botocore.credentials import RefreshableCredentials
from botocore.session import Session

from benchmarking.endpoint import S3Endpoint
from concurrent_dataloader._base.errors import AccessDenied, OptionError
from concurrent_dataloader.storage import S3Options, S3Store, StaticCredentials
from concurrent_dataloader.storage.process_local import ProcessLocal
from concurrent_dataloader.storage.s3_connection import S3Connection, connect
from concurrent_dataloader.storage.s3_obstore import CREDENTIALS_LIFE, _credential_provider

ENDPOINT_URL = "http://127.0.0.1:1"
FILE = StaticCredentials("file-key", "file-secret", "file-token")


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An AWS environment without anything in it; returns the folder of its ``config`` and ``credentials``."""
    isolate_aws(monkeypatch, tmp_path, credentials=False)
    return tmp_path


@pytest.fixture(scope="module")
def endpoint() -> Iterator[S3Endpoint]:
    with S3Endpoint({"key": b"body"}, bucket="bucket") as endpoint:
        yield endpoint


def access_key_of(options: S3Options) -> str:
    return str(connect(options).credentials.access_key)


def test_the_environment_comes_before_the_credentials_file(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "chain-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "chain-secret")
    with caplog.at_level(logging.DEBUG, "concurrent_dataloader"):
        assert access_key_of(S3Options("bucket", ENDPOINT_URL, fallback_credentials=FILE)) == "chain-key"
    assert "credentials from the AWS chain (env)" in caplog.text
    assert "secret" not in caplog.text


def test_the_environment_comes_before_a_profile_that_it_names(monkeypatch: pytest.MonkeyPatch, aws: Path) -> None:
    write_keys(aws, "home-key", profile="mine")
    monkeypatch.setenv("AWS_PROFILE", "mine")
    assert access_key_of(S3Options("bucket", ENDPOINT_URL)) == "home-key"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "chain-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "chain-secret")
    assert access_key_of(S3Options("bucket", ENDPOINT_URL)) == "chain-key" == Session().get_credentials().access_key


def test_half_of_the_credentials_in_the_environment_are_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "chain-key")
    with pytest.raises(AccessDenied, match="AWS_SECRET_ACCESS_KEY"):
        connect(S3Options("bucket", ENDPOINT_URL, fallback_credentials=FILE))


@pytest.mark.parametrize("source", ["environment", "folder", "file"])
def test_botocores_clients_use_what_was_found_whatever_changes_afterwards(
    monkeypatch: pytest.MonkeyPatch, aws: Path, source: str
) -> None:
    if source == "environment":
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "found-key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "found-secret")
    elif source == "folder":
        write_keys(aws, "found-key")
    connection = connect(S3Options("bucket", ENDPOINT_URL, fallback_credentials=FILE))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "later-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "later-secret")
    assert connection.credentials.access_key == ("file-key" if source == "file" else "found-key")
    assert connection.session.get().get_credentials().access_key == connection.credentials.access_key


def test_obstore_needs_neither_the_chain_nor_a_session_with_handlers_where_the_environment_has_keys(
    monkeypatch: pytest.MonkeyPatch, endpoint: S3Endpoint
) -> None:
    made: list[bool] = []

    class Counted(Session):  # type: ignore[misc]  # botocore has no types
        def __init__(self, *, include_builtin_handlers: bool = True) -> None:
            made.append(include_builtin_handlers)
            super().__init__(include_builtin_handlers=include_builtin_handlers)

    monkeypatch.setattr("botocore.session.Session", Counted)
    monkeypatch.setattr(Counted, "get_credentials", lambda _: pytest.fail("the chain was built"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "chain-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "chain-secret")
    assert S3Store(S3Options("bucket", endpoint.url)).get("key") == b"body"
    assert made == [False]


def test_one_session_with_handlers_serves_the_chain_and_botocores_clients(
    monkeypatch: pytest.MonkeyPatch, aws: Path
) -> None:
    made: list[Session] = []
    begin = Session.__init__
    monkeypatch.setattr(Session, "__init__", lambda self, **given: made.append(self) or begin(self, **given))
    write_keys(aws, "home-key")
    store = S3Store(S3Options("bucket", ENDPOINT_URL))
    store._boto3.client()
    store._boto3.client()
    assert len(made) == 2  # the other reads the configuration


def test_the_aws_folder_comes_before_the_credentials_file(aws: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_keys(aws, "home-key")
    with caplog.at_level(logging.DEBUG, "concurrent_dataloader"):
        assert access_key_of(S3Options("bucket", ENDPOINT_URL, fallback_credentials=FILE)) == "home-key"
    assert "credentials from the AWS chain (shared-credentials-file)" in caplog.text


def test_the_credentials_file_is_used_where_the_chain_has_none(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "concurrent_dataloader"):
        assert access_key_of(S3Options("bucket", ENDPOINT_URL, fallback_credentials=FILE)) == "file-key"
    assert "credentials from the credentials file" in caplog.text
    assert "file-secret" not in caplog.text
    assert "file-token" not in caplog.text


@pytest.mark.parametrize("client", ["obstore", "boto3"])
def test_without_any_credentials_access_is_denied_and_the_message_says_what_to_provide(client: str) -> None:
    store = S3Store(S3Options("bucket", ENDPOINT_URL, client=client))  # type: ignore[arg-type]
    with pytest.raises(AccessDenied, match=r"s3://bucket: no credentials in the environment, ~/\.aws"):
        store.get("key")


def test_unsigned_requests_need_no_credentials() -> None:
    assert connect(S3Options("bucket", ENDPOINT_URL, unsigned=True)).endpoint_url == ENDPOINT_URL


def test_obstore_is_given_renewed_credentials_before_the_old_ones_end() -> None:
    def issue(number: int) -> dict[str, str]:
        end = datetime.now(UTC) + (timedelta(seconds=1) if number == 1 else timedelta(hours=1))
        return {
            "access_key": f"key-{number}",
            "secret_key": "secret",
            "token": "token",
            "expiry_time": end.isoformat(),
        }

    credentials = RefreshableCredentials.create_from_metadata(issue(1), lambda: issue(2), "test")
    asked_at = datetime.now(UTC)
    given = _credential_provider(S3Connection(credentials, ENDPOINT_URL, None, None, ProcessLocal(Session)))()
    assert given["access_key_id"] == "key-2"
    assert given["expires_at"] is not None
    assert asked_at < given["expires_at"] <= datetime.now(UTC) + CREDENTIALS_LIFE


def test_obstore_keeps_credentials_that_do_not_end() -> None:
    connection = connect(S3Options("bucket", ENDPOINT_URL, fallback_credentials=FILE))
    assert _credential_provider(connection)() == {
        "access_key_id": "file-key",
        "secret_access_key": "file-secret",
        "token": "file-token",
        "expires_at": None,
    }


def test_no_secret_shows_in_a_repr_or_in_the_message_for_a_wrong_argument() -> None:
    options = S3Options("bucket", ENDPOINT_URL, fallback_credentials=FILE)
    for shown in (repr(FILE), repr(options), repr(S3Store(options))):
        assert "file-secret" not in shown
        assert "file-token" not in shown
    with pytest.raises(OptionError, match="expected StaticCredentials or None, got tuple") as caught:
        S3Options("bucket", fallback_credentials=("key", "file-secret"))  # type: ignore[arg-type]
    assert "file-secret" not in str(caught.value)
    with pytest.raises(OptionError, match="credentials in it") as caught:
        S3Options("bucket", "https://key:file-secret@host")
    assert "file-secret" not in str(caught.value)
    with pytest.raises(OptionError, match="a query or fragment") as caught:
        S3Options("bucket", "https://host/key?X-Amz-Signature=file-secret")
    assert "file-secret" not in str(caught.value)


def test_what_the_chain_found_is_not_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "chain-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "chain-secret")
    store = S3Store(S3Options("bucket", ENDPOINT_URL))
    store._boto3.client()
    assert b"chain-" not in pickle.dumps(store)


@pytest.mark.parametrize(
    ("environment", "config", "expected"),
    [
        ({}, "", None),
        ({"AWS_ENDPOINT_URL": "https://all"}, "", "https://all"),
        ({"AWS_ENDPOINT_URL": "https://all", "AWS_ENDPOINT_URL_S3": "https://s3"}, "", "https://s3"),
        ({}, "endpoint_url = https://profile\n", "https://profile"),
        ({"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "AWS_ENDPOINT_URL": "https://all"}, "", None),
    ],
)
def test_the_endpoint_is_the_one_that_the_aws_configuration_names(
    monkeypatch: pytest.MonkeyPatch, aws: Path, environment: dict[str, str], config: str, expected: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (aws / "config").write_text(f"[default]\n{config}")
    assert connect(S3Options("bucket", unsigned=True)).endpoint_url == expected
    assert connect(S3Options("bucket", ENDPOINT_URL, unsigned=True)).endpoint_url == ENDPOINT_URL


@pytest.mark.parametrize("all_else_is_given", [False, True])
def test_a_profile_that_is_missing_is_access_denied_and_named(
    monkeypatch: pytest.MonkeyPatch, aws: Path, *, all_else_is_given: bool
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    options = S3Options("bucket", ENDPOINT_URL)
    if all_else_is_given:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "chain-key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "chain-secret")
        (aws / "ca.pem").touch()
        options = S3Options("bucket", ENDPOINT_URL, region_name="us-east-1", ca_bundle=str(aws / "ca.pem"))
    with pytest.raises(AccessDenied, match="nobody"):
        connect(options)
