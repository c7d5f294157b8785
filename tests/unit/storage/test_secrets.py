"""Nothing that a failing run emits holds a secret: no log of any logger, no error, traceback, repr or pickle."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aws_environment import isolate_aws
from raw_s3_server import Action, RawS3Server, Request, reset, short, status

from concurrent_dataloader._base.errors import ConcurrentDataLoaderError
from concurrent_dataloader.dataset.credentials_file import load_credentials_file
from concurrent_dataloader.dataset.download import download
from concurrent_dataloader.storage import S3Options, S3Store, StaticCredentials

SECRETS = {
    "secret of the environment": "ENVSECRETxyzzy1",
    "token of the environment": "ENVTOKENxyzzy2//",
    "secret of the credentials file": "FILESECRETxyzzy3",
    "token of the credentials file": "FILETOKENxyzzy4==",
    "signature of a presigned URL": "PRESIGNEDxyzzy5",
    "secret of ~/.aws": "HOMESECRETxyzzy6",
    "token of ~/.aws": "HOMETOKENxyzzy7",
}
CLIENTS = ["obstore", "boto3", "aiobotocore"]


def echo(code: int, s3_code: str) -> Action:
    """Quotes what the request brought, as S3 does: the token that has expired, the headers that were signed."""

    def act(request: Request) -> None:
        token = request.headers.get("x-amz-security-token", "")
        body = (
            f"<Error><Code>{s3_code}</Code><Message>The provided token has expired.</Message><Token-0>{token}</Token-0>"
            f"<CanonicalRequest>x-amz-security-token:{token}</CanonicalRequest></Error>"
        )
        request.answer(code, body.encode())

    return act


def silent(request: Request) -> None:
    request.server.released.wait(20.0)


FAILURES: dict[str, Action] = {
    "503": status(503),
    "429": status(429, "TooManyRequests"),
    "403": echo(403, "AccessDenied"),
    "wrong signature": echo(403, "SignatureDoesNotMatch"),
    "expired": echo(400, "ExpiredToken"),
    "404": status(404, "NoSuchKey"),
    "reset": reset,
    "short": short,
    "silent": silent,
}


@pytest.fixture
def server() -> Iterator[RawS3Server]:
    with RawS3Server() as server:
        yield server


class Everything(logging.Handler):
    """Keeps the text of every record, formatted as a handler of a user's would, and its attributes."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(f"{record.name}: {self.format(record)} {record.args}")


@pytest.fixture
def emitted() -> Iterator[list[str]]:
    """What a test has seen; with it, all that any logger has said at any level."""
    seen: list[str] = []
    handler, root = Everything(), logging.getLogger()
    named = [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    levels = {logger: logger.level for logger in (root, *named)}
    root.addHandler(handler)
    for logger in levels:
        logger.setLevel(logging.DEBUG)
    yield seen
    for logger, level in levels.items():
        logger.setLevel(level)
    root.removeHandler(handler)
    assert seen, "nothing was seen: this test could not fail"
    for name, secret in SECRETS.items():
        leaks = [text for text in seen + handler.texts if secret.rstrip("=/") in text]
        assert not leaks, f"{name} in {[leak[:300] for leak in leaks]}"


def failure_of(action: Callable[[], Any]) -> ConcurrentDataLoaderError:
    with pytest.raises(ConcurrentDataLoaderError) as caught:
        action()
    return caught.value


def all_of(error: BaseException) -> Iterator[str]:
    yield from traceback.format_exception(error)
    yield repr(error)
    yield str(pickle.dumps(error))
    chain = error
    while chain is not None:
        yield repr(chain) + str(chain) + str(chain.args)
        chain = chain.__cause__  # type: ignore[assignment]


def provide(source: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> StaticCredentials | None:
    """Puts secrets in one source; returns the credentials that the store is to be given."""
    isolate_aws(monkeypatch, folder, credentials=False)
    if source == "environment":
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRETS["secret of the environment"])
        monkeypatch.setenv("AWS_SESSION_TOKEN", SECRETS["token of the environment"])
    elif source == "~/.aws":
        secret, token = SECRETS["secret of ~/.aws"], SECRETS["token of ~/.aws"]
        (folder / "credentials").write_text(
            f"[default]\naws_access_key_id = k\naws_secret_access_key = {secret}\naws_session_token = {token}\n"
        )
    else:
        return StaticCredentials(
            "key", SECRETS["secret of the credentials file"], SECRETS["token of the credentials file"]
        )
    return None


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize("source", ["environment", "~/.aws", "credentials file"])
@pytest.mark.parametrize("client", CLIENTS)
def test_no_failure_of_a_store_tells_a_secret(
    server: RawS3Server,
    client: Any,
    source: str,
    emitted: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    given = provide(source, monkeypatch, tmp_path)
    limits: dict[str, Any] = {"max_attempts": 2, "read_timeout_s": 0.2, "deadline_s": 10.0}
    store = S3Store(S3Options("bucket", server.url, client=client, fallback_credentials=given, **limits))
    with asyncio.Runner() as runner, ThreadPoolExecutor(6) as at_once:
        for failure in FAILURES.values():
            server.plan(then=failure)
            calls: list[Callable[[], Any]] = [
                lambda: store.get("key"),
                lambda: store.get_range("key", 0, 5),
                lambda: runner.run(store.aget("key")),
                lambda: store.head("key"),
                lambda: list(store.list()),
                lambda: store.put("key", b"body"),
            ]
            if failure is short:  # which the answers to the others cannot be
                calls = calls[:3]
            for error in at_once.map(failure_of, calls):
                emitted += all_of(error)
        emitted += [repr(store), str(vars(store)), repr(store.options), str(store._connection.get())]
        if given is None:  # the store's options are all that is pickled, and the keys of a file are of them
            emitted.append(str(pickle.dumps(store)))
        runner.run(store.aclose())
    server.released.set()


@pytest.mark.parametrize("failure", FAILURES)
def test_no_failed_download_tells_the_signature_of_its_url(
    server: RawS3Server, emitted: list[str], failure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("concurrent_dataloader.dataset.download._SILENCE_TIMEOUT_S", 0.1)
    monkeypatch.setattr("concurrent_dataloader.dataset.download._MAX_ATTEMPTS", 2)
    server.plan(then=FAILURES[failure])
    signature = SECRETS["signature of a presigned URL"]
    url = f"{server.url}/index.json?X-Amz-Signature={signature}&X-Amz-Credential=key"
    file = tmp_path / "credentials.json"
    secret = SECRETS["secret of the credentials file"]
    file.write_text(json.dumps({"access_key": "key", "secret": secret, "train_index_file_download_url": url}))
    credentials = load_credentials_file(file)
    emitted += [repr(credentials), str(credentials)]
    path, never = tmp_path / "index.json", lambda *_: None
    emitted += all_of(failure_of(lambda: download(url, path, check=never, read_s3=lambda *_: b"")))
    server.released.set()


@pytest.mark.parametrize(
    "broken",
    [
        {"access_key": "key", "secret": 5},
        {"access_key": "key"},
        {"secret": SECRETS["secret of the credentials file"]},
        {"access_key": "key", "secret": SECRETS["secret of the credentials file"], "bucket_name": "a/b"},
        {
            "access_key": "key",
            "secret": SECRETS["secret of the credentials file"],
            "endpoint_url": f"https://key:{SECRETS['secret of the credentials file']}@host",
        },
        {"train_index_file_download_url": {"url": SECRETS["signature of a presigned URL"]}},
    ],
)
def test_no_wrong_credentials_file_tells_what_is_in_it(broken: Any, emitted: list[str], tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    path.write_text(json.dumps(broken))
    emitted += all_of(failure_of(lambda: load_credentials_file(path)))
    path.write_text(json.dumps(broken)[:-2])
    emitted += all_of(failure_of(lambda: load_credentials_file(path)))
