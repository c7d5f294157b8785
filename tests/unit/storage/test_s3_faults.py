"""What each S3 client makes of a store that fails: the same errors, after the same attempts."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from aws_environment import isolate_aws
from raw_s3_server import BODY, Action, RawS3Server, Request, reset, short, status, whole, whole_whatever_the_range

from concurrent_dataloader._base.errors import (
    AccessDenied,
    IncompleteBody,
    ObjectNotFound,
    StorageError,
    StorageTimeout,
)
from concurrent_dataloader._base.request_events import listen
from concurrent_dataloader.storage import S3Options, S3Store, retry
from concurrent_dataloader.storage.listed_size import aget_listed, get_listed

Read = Callable[[], bytes]

KEY = "some/key"
READS = ["obstore get", "obstore aget", "boto3 get", "boto3 aget", "aiobotocore aget"]


@pytest.fixture(scope="module", autouse=True)
def _aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        isolate_aws(monkeypatch, tmp_path_factory.mktemp("aws"))
        yield


@pytest.fixture(scope="module")
def running_server() -> Iterator[RawS3Server]:
    with RawS3Server() as server:
        yield server


@pytest.fixture
def server(running_server: RawS3Server) -> RawS3Server:
    running_server.plan()
    running_server.seen.clear()
    running_server.released.clear()
    return running_server


class Clients:
    """Reads the one object through each client; clients and loop are kept, since each takes 0.1 s to make."""

    def __init__(self, server: RawS3Server, runner: asyncio.Runner) -> None:
        self._server, self._runner = server, runner
        self._stores: dict[str, S3Store] = {}

    def store(self, client: str = "obstore", **changes: object) -> S3Store:
        settings: dict[str, object] = {"max_attempts": 3, "read_timeout_s": 20.0, "deadline_s": 60.0, "client": client}
        name = f"{client} {changes}"
        if name not in self._stores:
            self._stores[name] = S3Store(S3Options("bucket", self._server.url, **(settings | changes)))  # type: ignore[arg-type]
        return self._stores[name]

    def reader(self, name: str, **changes: object) -> Read:
        client, method = name.split()
        store = self.store(client, **changes)
        return (lambda: store.get(KEY)) if method == "get" else (lambda: self._runner.run(store.aget(KEY)))

    def run(self, coroutine: Coroutine[Any, Any, bytes]) -> bytes:
        return self._runner.run(coroutine)

    def close(self) -> None:
        for store in self._stores.values():
            self._runner.run(store.aclose())


@pytest.fixture(scope="module")
def clients(running_server: RawS3Server) -> Iterator[Clients]:
    with asyncio.Runner() as runner:
        made = Clients(running_server, runner)
        yield made
        made.close()


@pytest.fixture(params=READS, ids=lambda name: name.replace(" ", "-"))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def read(name: str, clients: Clients) -> Read:
    return clients.reader(name)


@pytest.mark.parametrize(
    "fault",
    [status(503), status(500, "InternalError"), status(429, "TooManyRequests"), reset, short],
    ids=["503", "500", "429", "reset", "short"],
)
def test_what_may_pass_is_tried_again(read: Read, server: RawS3Server, fault: Action) -> None:
    server.plan(fault, fault)
    assert read() == BODY


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (status(503), StorageError, "503, SlowDown"),
        (short, IncompleteBody, ""),
        (reset, StorageError, ""),
    ],
    ids=["503", "short", "reset"],
)
def test_what_does_not_pass_ends_in_an_error_that_says_where_and_how_often(
    read: Read, server: RawS3Server, fault: Action, error: type[Exception], said: str
) -> None:
    server.plan(then=fault)
    with pytest.raises(error, match=rf"s3://bucket/some/key \(endpoint {server.url}\): .*{said}.*3.* s\)") as caught:
        read()
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (status(404, "NoSuchKey", "The specified key does not exist."), ObjectNotFound),
        (status(404, "NoSuchBucket"), ObjectNotFound),
        (status(403, "AccessDenied"), AccessDenied),
        (status(401, "Unauthorized"), AccessDenied),
        (status(400, "ExpiredToken"), AccessDenied),
        (status(400, "InvalidRequest"), StorageError),
    ],
    ids=["no-key", "no-bucket", "403", "401", "expired", "400"],
)
def test_what_cannot_pass_is_an_error_at_once(
    read: Read, server: RawS3Server, fault: Action, error: type[Exception]
) -> None:
    server.plan(fault)
    with pytest.raises(error, match="some/key") as caught:
        read()
    assert type(caught.value) is error
    assert len(server.seen) == 1


def test_silence_is_a_timeout(server: RawS3Server, clients: Clients, name: str) -> None:
    server.plan(then=lambda request: request.server.released.wait(30) and None)
    with pytest.raises(StorageTimeout, match=KEY):
        clients.reader(name, read_timeout_s=0.1, max_attempts=2)()
    server.released.set()


def test_no_attempt_starts_after_the_deadline(server: RawS3Server, clients: Clients, name: str) -> None:
    server.plan(then=status(503))
    with pytest.raises(StorageError, match=KEY):
        clients.reader(name, deadline_s=0.3, max_attempts=10_000)()
    assert len(server.seen) < 100


def test_retries_leave_the_random_generator_of_the_process_alone(server: RawS3Server, read: Read) -> None:
    read()
    state = random.getstate()
    server.plan(status(503), reset)
    assert read() == BODY
    assert random.getstate() == state


def test_a_custom_endpoint_is_addressed_by_path(server: RawS3Server, read: Read) -> None:
    read()
    assert [path.split("?")[0] for _, path, _ in server.seen] == ["/bucket/some/key"]


@pytest.mark.parametrize("client", ["obstore", "boto3"])
def test_a_store_that_ignores_ranges_is_noticed(server: RawS3Server, clients: Clients, client: str) -> None:
    server.plan(then=whole_whatever_the_range)
    with pytest.raises(StorageError, match=KEY):
        clients.store(client).get_range(KEY, 3, 5)


def test_a_short_body_is_never_handed_on_when_the_rest_cannot_be_had(server: RawS3Server, clients: Clients) -> None:
    server.plan(then=lambda request: (whole_whatever_the_range if request.headers.get("Range") else short)(request))
    with pytest.raises(IncompleteBody, match=KEY):
        clients.store("obstore").get(KEY)


def test_an_answer_that_echoes_the_request_puts_no_signature_into_the_message(server: RawS3Server, read: Read) -> None:
    echo = "<SignatureProvided>c0ffee</SignatureProvided><StringToSign>AWS4 dummy-secret</StringToSign>"
    server.plan(status(403, "SignatureDoesNotMatch", f"Wrong signature.</Message>{echo}<Message>"))
    with pytest.raises(AccessDenied, match="SignatureDoesNotMatch") as caught:
        read()
    assert "c0ffee" not in str(caught.value)
    assert "dummy-secret" not in str(caught.value)


def test_listing_heads_and_uploads_are_tried_again_too(server: RawS3Server, clients: Clients) -> None:
    store = clients.store()
    server.plan(status(503), reset, lambda request: request.answer(200, b"<ListBucketResult></ListBucketResult>"))
    assert list(store.list()) == []
    server.plan(status(503), reset, lambda request: request.answer(200, b""))
    store.put(KEY, b"body")
    server.plan(status(503), whole)
    assert store.head(KEY).size_bytes == len(BODY)


def test_connections_are_kept_but_an_attempt_after_a_failure_opens_a_new_one(read: Read, server: RawS3Server) -> None:
    ports: list[int] = []

    def noting(action: Action) -> Action:
        def act(request: Request) -> None:
            ports.append(request.client_address[1])
            action(request)

        return act

    for _ in range(2):  # the clients are shared with other tests, whose first attempts may have broken connections
        server.plan(*map(noting, (whole, whole, status(503), whole, status(503), whole)))
        ports.clear()
        for _ in range(4):
            assert read() == BODY
    first, second = [ports[at] for at in (0, 1, 2, 4)], [ports[at] for at in (3, 5)]
    assert len({*second}) == 2
    assert not {*second} & {*first}
    assert len({*first}) < 4  # obstore hands a connection back in the background: now and then too late for the next


def test_the_listener_of_the_fetch_hears_of_every_retry(name: str, server: RawS3Server, clients: Clients) -> None:
    heard: list[bool] = []

    class Listener:
        def retrying(self, *, throttled: bool) -> None:
            heard.append(throttled)

    client, method = name.split()
    store = clients.store(client)

    async def aread() -> bytes:
        listen(Listener())
        return await store.aget(KEY)

    def read() -> bytes:
        listen(Listener())
        return store.get(KEY)

    resets = [reset] * (2 if client == "aiobotocore" else 1)  # aiohttp repeats such a request once by itself
    server.plan(status(503), *resets)
    assert (clients.run(aread()) if method == "aget" else contextvars.copy_context().run(read)) == BODY
    assert heard == [True, False]


@pytest.mark.parametrize("asked", ["2", None])
def test_a_store_that_asks_for_time_gets_it_where_the_client_shows_that(
    name: str, server: RawS3Server, clients: Clients, monkeypatch: pytest.MonkeyPatch, asked: str | None
) -> None:
    pauses: list[float] = []

    async def note(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(retry.time, "sleep", pauses.append)
    monkeypatch.setattr(retry.asyncio, "sleep", note)
    headers = {} if asked is None else {"Retry_After": asked}
    server.plan(lambda request: request.answer(503, b"", **headers))
    assert clients.reader(name)() == BODY
    # obstore shows no headers of an answer that failed.
    assert (pauses[0] >= 2.0) == (asked is not None and not name.startswith("obstore"))


def test_a_body_of_another_size_than_listed_is_asked_for_again_under_the_rest_of_the_first_deadline(
    name: str, clients: Clients, server: RawS3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts_s: list[float] = []
    begin = retry._Attempts.__init__

    def noting(self: Any, rules: Any, start_s: float | None) -> None:
        begin(self, rules, start_s)
        starts_s.append(self._start_s)

    monkeypatch.setattr(retry._Attempts, "__init__", noting)
    client, method = name.split()
    store = clients.store(client)
    listed = (store, KEY, len(BODY) + 1)
    read = (lambda: get_listed(*listed)) if method == "get" else (lambda: clients.run(aget_listed(*listed)))
    with pytest.raises(IncompleteBody, match="changed since the listing"):
        read()
    assert len(server.seen) == 2
    assert starts_s[1] <= starts_s[0]
