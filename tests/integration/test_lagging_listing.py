"""A bucket whose listing lags: the dataset is what was listed, and what is not so any more is told, not handed on.

The fault itself is tested in tests/unit/benchmarking/test_endpoint.py.
"""

from __future__ import annotations

import http.client
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_environment import isolate_aws
from pictures import plain

from benchmarking.endpoint import Fault, S3Endpoint
from concurrent_dataloader import DataLoader, S3Dataset
from concurrent_dataloader._base.errors import IncompleteBody, ObjectNotFound
from concurrent_dataloader.command_line.main import main
from concurrent_dataloader.dataset.dataset_check import check_dataset
from concurrent_dataloader.storage.large_objects import LARGE_BYTES

BUCKET = "lagging"
WAYS = [("threaded", "obstore"), ("asyncio", "obstore"), ("threaded", "boto3"), ("asyncio", "aiobotocore")]
BODIES = {f"data/{name}/{name}_{at}.png": plain(at) for name in ("cat", "dog") for at in range(8)}
KEYS = list(BODIES)
GONE, GROWN, SHRUNK, LARGE = KEYS[2], KEYS[5], KEYS[11], "data/dog/large.png"
NEW = ["data/cat/cat_9.png", "data/cow/cow_1.png"]
LARGE_BODY = os.urandom(LARGE_BYTES + 10)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[S3Endpoint]:
    """Its listing shows a bucket in which nothing has happened yet."""
    isolate_aws(monkeypatch, tmp_path)
    with S3Endpoint({**BODIES, LARGE: LARGE_BODY}, bucket=BUCKET, faults=[Fault("lag")]) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
        change(running, "DELETE", GONE)
        change(running, "PUT", GROWN, BODIES[GROWN] + b"more")
        change(running, "PUT", SHRUNK, BODIES[SHRUNK][:-1])
        change(running, "PUT", LARGE, LARGE_BODY[:-3])
        for key in NEW:
            change(running, "PUT", key, plain(9))
        yield running


def change(endpoint: S3Endpoint, method: str, key: str, body: bytes | None = None) -> None:
    connection = http.client.HTTPConnection(endpoint.url.removeprefix("http://"))
    connection.request(method, f"/{BUCKET}/{key}", body)
    assert connection.getresponse().status in (200, 204)
    connection.close()


def as_it_is(raw: bytes) -> bytes:
    return raw


def index_of(folder: Path) -> Path:
    S3Dataset.index_all(folder / "index.json", bucket_name=BUCKET, prefix="data/", show_progress=False)
    return folder / "index.json"


def dataset_of(index: Path, client: Any = "boto3") -> S3Dataset:
    return S3Dataset(index, bucket_name=BUCKET, client=client, decoder=as_it_is)


def test_a_dataset_has_exactly_what_was_listed(endpoint: S3Endpoint, tmp_path: Path) -> None:
    dataset = dataset_of(index_of(tmp_path))
    assert list(dataset.keys) == [*KEYS, LARGE]
    sizes = [dataset.keys.size_of(at) for at in range(len(dataset))]
    assert sizes == [*(len(body) for body in BODIES.values()), len(LARGE_BODY)]
    by_folder = S3Dataset.from_prefix(f"s3://{BUCKET}/data")
    assert (list(by_folder.keys), by_folder.classes) == ([*KEYS, LARGE], ["cat", "dog"])
    endpoint.configure(faults=[])  # it has caught up
    fresh = dataset_of(index_of(tmp_path))
    assert list(fresh.keys) == sorted([*(key for key in KEYS if key != GONE), LARGE, *NEW])


@pytest.mark.parametrize(("fetch_impl", "client"), WAYS)
def test_what_is_gone_or_of_another_size_is_the_promised_error_of_its_own_sample(
    endpoint: S3Endpoint, tmp_path: Path, fetch_impl: Any, client: str
) -> None:
    errors: dict[str, Exception] = {}

    def note(index: int, error: Exception) -> bytes:
        errors[dataset.keys[index]] = error
        return b""

    dataset = dataset_of(index_of(tmp_path), client)
    settings: dict[str, Any] = {"num_workers": 0, "collate_fn": list, "max_error_rate": 1.0}
    loader: DataLoader[Any] = DataLoader(dataset, 4, fetch_impl=fetch_impl, on_error=note, **settings)
    found = [body for batch in loader for body in batch]
    assert {key: type(error) for key, error in errors.items()} == {
        GONE: ObjectNotFound,
        GROWN: IncompleteBody,
        SHRUNK: IncompleteBody,
        LARGE: IncompleteBody,  # whose parts are read by ranges
    }
    assert all(key in str(error) for key, error in errors.items())
    assert f"{len(BODIES[GROWN]) + 4} bytes arrived, {len(BODIES[GROWN])} were listed" in str(errors[GROWN])
    assert found == [b"" if key in errors else BODIES[key] for key in (*KEYS, LARGE)]


def test_workers_hand_on_the_error_of_an_object_that_is_gone(endpoint: S3Endpoint, tmp_path: Path) -> None:
    batches = iter(DataLoader(dataset_of(index_of(tmp_path)), 1, num_workers=1, collate_fn=list))
    assert [next(batches), next(batches)] == [[BODIES[KEYS[0]]], [BODIES[KEYS[1]]]]
    with pytest.raises(ObjectNotFound, match=GONE):
        next(batches)
    assert next(batches) == [BODIES[KEYS[3]]]


def test_an_object_that_was_replaced_while_it_was_listed_is_right_if_its_size_is_not_known(
    endpoint: S3Endpoint, tmp_path: Path
) -> None:
    (tmp_path / "keys.json").write_text(f'["{GROWN}", "{SHRUNK}"]')  # without sizes
    assert list(dataset_of(tmp_path / "keys.json")) == [BODIES[GROWN] + b"more", BODIES[SHRUNK][:-1]]


def test_check_names_what_is_gone_and_what_has_another_size(
    endpoint: S3Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = index_of(tmp_path)
    dataset = dataset_of(index)
    report = check_dataset(dataset.store, dataset.keys, decode=False)
    examples = {finding.kind: " ".join(finding.examples) for finding in report.findings}
    assert set(examples) == {"not-found", "size-changed"}
    assert GONE in examples["not-found"]
    assert all(key in examples["size-changed"] for key in (GROWN, SHRUNK, LARGE))
    assert main(["check", str(index), f"s3://{BUCKET}", "--all", "--no-decode"]) == 1
    output = capsys.readouterr().out
    assert "1 objects are not there" in output
    assert "3 objects do not have the size that the listing gave" in output
    assert GONE in output
