"""The loader over a store that fails: what passes costs no sample, what stays costs its own sample alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_environment import isolate_aws

from benchmarking.endpoint import Fault, S3Endpoint
from concurrent_dataloader import DataLoader
from concurrent_dataloader._base.errors import AccessDenied, ConcurrentDataLoaderError, IncompleteBody
from concurrent_dataloader.dataset.indexed_dataset import IndexedDataset
from concurrent_dataloader.storage import S3Options, S3Store

BATCH = 8
WAYS = [("threaded", "obstore"), ("asyncio", "obstore"), ("threaded", "boto3"), ("asyncio", "aiobotocore")]
PASSING = [
    Fault("status", key="503/*", attempts=(1, 2)),
    Fault("status", status=429, key="429/*", attempts=(1,)),
    Fault("reset", key="reset/*", attempts=(1,)),
    Fault("reset", key="cut/*", at_byte=1_000, attempts=(1, 2)),
    Fault("short", key="short/*", attempts=(1,)),
    Fault("stuck", key="stuck/*", at_byte=5, attempts=(1,)),
]
LASTING = [Fault("status", status=403, key="403/*"), Fault("short", key="cut off/*")]
KINDS = ["plain", "plain", *(fault.key.split("/")[0] for fault in PASSING + LASTING)]
KEYS = [f"{kind}/{number}" for number in range(6) for kind in KINDS]
BODIES = {key: key.encode() + os.urandom(20_000) for key in KEYS}
LOST = [key for key in KEYS if key.startswith(("403/", "cut off/"))]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[S3Endpoint]:
    with S3Endpoint(BODIES, bucket="bucket") as endpoint:
        yield endpoint


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate_aws(monkeypatch, tmp_path)


def as_it_is(raw: bytes) -> bytes:
    return raw


def loader(endpoint: S3Endpoint, keys: list[str], fetch_impl: str, client: str, **options: Any) -> Any:
    endpoint.reset_stats()
    endpoint.configure(faults=[*PASSING, *LASTING])  # the scripts start anew
    limits: dict[str, Any] = {"client": client, "read_timeout_s": 1.0, "deadline_s": 30.0, "max_attempts": 4}
    store = S3Store(S3Options("bucket", endpoint.url, **limits))
    dataset = IndexedDataset(store, keys, decoder=as_it_is)
    settings: dict[str, Any] = {"batch_size": BATCH, "num_workers": 2, "collate_fn": list, "num_fetch_workers": 16}
    settings |= {"hedging": False}  # its requests would count as attempts
    return DataLoader(dataset, fetch_impl=fetch_impl, multiprocessing_context="spawn", **settings, **options)


@pytest.mark.parametrize(("fetch_impl", "client"), WAYS)
class TestLoader:
    def test_faults_that_pass_cost_no_sample_and_are_counted(
        self, endpoint: S3Endpoint, fetch_impl: str, client: str
    ) -> None:
        keys = [key for key in KEYS if key not in LOST]
        made = loader(endpoint, keys, fetch_impl, client)
        batches = list(made)
        assert [body for batch in batches for body in batch] == [BODIES[key] for key in keys]
        refusals = endpoint.stats().statuses
        assert made.stats().total.throttled == refusals["503"] + refusals["429"]
        assert made.stats().total.retries >= made.stats().total.throttled + 4 * 6

    def test_faults_that_stay_cost_their_own_samples_alone(
        self, endpoint: S3Endpoint, fetch_impl: str, client: str
    ) -> None:
        made = loader(endpoint, KEYS, fetch_impl, client, on_error="skip", max_error_rate=0.5)
        batches = list(made)
        expected = [
            [key for key in KEYS[start : start + BATCH] if key not in LOST] for start in range(0, len(KEYS), BATCH)
        ]
        assert batches == [[BODIES[key] for key in batch] for batch in expected]

    def test_the_typed_error_arrives_in_the_main_process_and_the_rest_can_still_be_had(
        self, endpoint: S3Endpoint, fetch_impl: str, client: str
    ) -> None:
        iterator = iter(loader(endpoint, KEYS, fetch_impl, client))
        whole, errors = 0, []
        for _ in range(len(KEYS) // BATCH + bool(len(KEYS) % BATCH)):
            try:
                whole += len(next(iterator))
            except ConcurrentDataLoaderError as error:
                errors.append(error)
        assert {type(error) for error in errors} <= {AccessDenied, IncompleteBody}
        assert all(any(key in str(error) for key in LOST) for error in errors)
        hit = {KEYS.index(key) // BATCH for key in LOST}
        assert len(errors) == len(hit)
        assert whole == sum(min(BATCH, len(KEYS) - at * BATCH) for at in range(-(-len(KEYS) // BATCH)) if at not in hit)


def test_workers_that_run_find_the_token_that_replaces_an_expired_one(endpoint: S3Endpoint, tmp_path: Path) -> None:
    def write_token(token: str) -> None:
        (tmp_path / "credentials").write_text(
            f"[default]\naws_access_key_id = key\naws_secret_access_key = secret\naws_session_token = {token}\n"
        )

    with pytest.MonkeyPatch.context() as monkeypatch:
        isolate_aws(monkeypatch, tmp_path, credentials=False)
        keys = 4 * [key for key in KEYS if key not in LOST]
        write_token("first")
        made = loader(endpoint, keys, "threaded", "obstore", batch_pool=2)
        endpoint.configure(session_token="first", faults=())
        batches = []
        for batch in made:
            batches.append(batch)
            if len(batches) == 2:  # the workers are ahead by four batches at most
                write_token("second")
                endpoint.configure(session_token="second")
        endpoint.configure(session_token=None)
    assert [body for batch in batches for body in batch] == [BODIES[key] for key in keys]
    assert endpoint.stats().statuses["400"] >= 1
