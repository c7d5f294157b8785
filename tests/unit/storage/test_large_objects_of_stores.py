"""Large objects through each store and client, against the endpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_environment import isolate_aws
from large_bodies import LARGE, SMALL, lower_the_bounds
from raw_s3_server import BODY, RawS3Server, whole_whatever_the_range
from store_contract import on_loop

from benchmarking.endpoint import Fault, S3Endpoint
from concurrent_dataloader._base.errors import ConcurrentDataLoaderError, StorageError
from concurrent_dataloader.storage import (
    ObjectOptions,
    ObjectStore,
    ObstoreStore,
    S3Options,
    S3Store,
    large_objects,
    retry,
)
from concurrent_dataloader.storage.large_objects import spans_of

little = pytest.mark.usefixtures("low_bounds")


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate_aws(monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def running_endpoint() -> Iterator[S3Endpoint]:
    with S3Endpoint({"large": LARGE, "small": SMALL, "empty": b""}, bucket="bucket") as endpoint:
        yield endpoint


@pytest.fixture
def endpoint(running_endpoint: S3Endpoint) -> S3Endpoint:
    running_endpoint.configure(faults=())
    running_endpoint.reset_stats()
    return running_endpoint


@pytest.fixture(params=["obstore", "boto3", "aiobotocore", "gs"])
def store(request: pytest.FixtureRequest, endpoint: S3Endpoint) -> ObjectStore:
    limits: dict[str, Any] = {"read_timeout_s": 0.4, "deadline_s": 20.0, "max_attempts": 4}
    if request.param == "gs":
        return ObstoreStore(ObjectOptions("gs://bucket", endpoint.url, unsigned=True, **limits))
    return S3Store(S3Options("bucket", endpoint.url, client=request.param, **limits))


@pytest.fixture(params=["get", "aget"])
def get(request: pytest.FixtureRequest, store: ObjectStore) -> Callable[..., bytes]:
    if request.param == "get":
        return store.get
    return lambda *args: on_loop(store, lambda: store.aget(*args))


@little
class TestStores:
    def test_a_large_object_of_known_size_comes_in_parts(self, get: Callable[..., bytes], endpoint: S3Endpoint) -> None:
        assert get("large", len(LARGE)) == LARGE
        assert endpoint.stats().statuses == {"206": len(spans_of(len(LARGE)))}

    def test_a_large_object_of_unknown_size_is_right(self, get: Callable[..., bytes]) -> None:
        assert get("large") == LARGE

    def test_a_wrong_size_costs_requests_and_no_byte(self, get: Callable[..., bytes]) -> None:
        assert get("large", len(LARGE) + 400_000) == LARGE
        assert get("large", len(LARGE) - 400_000) == LARGE
        assert get("small", len(LARGE)) == SMALL
        assert get("empty", len(LARGE)) == b""

    @pytest.mark.parametrize("name", ["small", "empty"])
    def test_an_object_that_is_not_large_takes_one_request(
        self, get: Callable[..., bytes], endpoint: S3Endpoint, name: str
    ) -> None:
        expected = {"small": SMALL, "empty": b""}[name]
        assert get(name) == get(name, len(expected)) == expected
        assert endpoint.stats().requests == {"GET": 2}
        assert endpoint.stats().statuses == {"200": 2}

    @pytest.mark.usefixtures("short_pauses")
    @pytest.mark.parametrize("known", [True, False])
    @pytest.mark.parametrize(
        "fault",
        [
            Fault("status", limit=3),
            Fault("reset", limit=3),
            Fault("reset", at_byte=50_000, limit=3),
            Fault("short", missing_bytes=1, limit=3),
            Fault("long", surplus_bytes=1_000, limit=3),
            Fault("stuck", at_byte=50_000, limit=2),
        ],
        ids=lambda fault: fault.action,
    )
    def test_a_part_that_fails_is_asked_for_again_alone(
        self, get: Callable[..., bytes], endpoint: S3Endpoint, fault: Fault, known: bool
    ) -> None:
        endpoint.configure(faults=(fault,))
        assert get("large", *([len(LARGE)] if known else [])) == LARGE

    def test_a_part_that_goes_on_failing_is_the_typed_error(
        self, get: Callable[..., bytes], endpoint: S3Endpoint
    ) -> None:
        endpoint.configure(faults=(Fault("status", status=403),))
        with pytest.raises(PermissionError, match="large") as caught:
            get("large", len(LARGE))
        assert isinstance(caught.value, ConcurrentDataLoaderError)


@little
@pytest.mark.parametrize("call", ["get", "aget"])
def test_obstore_reads_the_first_part_of_an_unknown_size_from_its_first_answer(endpoint: S3Endpoint, call: str) -> None:
    store = S3Store(S3Options("bucket", endpoint.url))
    body = store.get("large") if call == "get" else on_loop(store, lambda: store.aget("large"))
    assert body == LARGE
    assert endpoint.stats().statuses == {"200": 1, "206": len(spans_of(len(LARGE))) - 1}


@pytest.mark.parametrize("client", ["obstore", "boto3", "aiobotocore"])
def test_a_store_that_ignores_ranges_is_read_whole(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lower_the_bounds(monkeypatch, 10)
    with RawS3Server() as server:
        server.plan(then=whole_whatever_the_range)
        store = S3Store(S3Options("bucket", server.url, client=client))
        assert on_loop(store, lambda: store.aget("key", len(BODY))) == BODY
        server.seen.clear()
        assert on_loop(store, lambda: store.aget("key", len(BODY))) == BODY
        assert len(server.seen) == 1


@little
def test_one_deadline_is_for_all_parts(endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_objects, "MAX_RANGES", 1)  # one part after another
    endpoint.configure(faults=(Fault("drip", bytes_per_s=400_000),))  # a quarter of a second a part, 11 parts
    store = S3Store(S3Options("bucket", endpoint.url, deadline_s=1.0, read_timeout_s=0.4))
    with pytest.raises(StorageError, match=r"of 1 s"):
        store.get("large", len(LARGE))


@little
@pytest.mark.parametrize("call", ["get", "aget"])
def test_one_deadline_is_for_the_answer_that_tells_the_size_and_for_all_parts(
    endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    starts: list[float | None] = []
    real = retry._Attempts.__init__

    def noting(self: Any, rules: Any, start_s: float | None) -> None:
        starts.append(start_s)
        real(self, rules, start_s)

    monkeypatch.setattr(retry._Attempts, "__init__", noting)
    store = S3Store(S3Options("bucket", endpoint.url))
    body = store.get("large") if call == "get" else on_loop(store, lambda: store.aget("large"))
    assert body == LARGE
    assert len(starts) > 2
    assert None not in starts
    assert len(set(starts)) == 1
