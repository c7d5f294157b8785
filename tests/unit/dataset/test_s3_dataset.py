"""The S3 dataset's construction: files, place, credentials and what is pickled; requests are in tests/integration."""

from __future__ import annotations

import inspect
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
from aws_environment import isolate_aws

import concurrent_dataloader
from concurrent_dataloader._base.errors import CredentialsFileError, IndexFileError, MissingFileError, OptionError
from concurrent_dataloader.dataset.s3_dataset import S3_Dataset, S3Dataset
from concurrent_dataloader.storage import S3Store, StaticCredentials
from concurrent_dataloader.storage.cache import CachedStore

ENDPOINT_URL = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate_aws(monkeypatch, tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return written(tmp_path / "index.json", ["n1/n1_1.png", "n1/n1_2.png", "n1/n1_3.png"])


def written(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def new_dataset(index: Path, **options: Any) -> S3Dataset:
    return S3Dataset(index, **{"bucket_name": "bucket", "endpoint_url": ENDPOINT_URL, **options})


def test_both_names_and_the_packages_are_one_class() -> None:
    assert S3_Dataset is S3Dataset is concurrent_dataloader.S3Dataset


def test_the_documented_arguments_are_there_under_their_names() -> None:
    names = list(inspect.signature(S3Dataset).parameters)
    assert names[:3] == ["index_file", "classes_file", "s3_credential_file"]
    assert {"dataset_type", "limit", "transform", "decoder", "client", "use_cache", "class_id_base"} <= {*names}


def test_construction_sends_no_request_and_builds_no_client(index: Path) -> None:
    dataset = new_dataset(index, limit=2)  # nobody listens there
    assert len(dataset) == 2
    assert dataset.describe(1) == "n1/n1_2.png"
    assert isinstance(dataset.store, S3Store)
    assert dataset.store._connection.peek() is None


def test_a_dataset_travels_to_a_worker_without_clients_and_without_its_index(tmp_path: Path) -> None:
    index = written(tmp_path / "big.json", [f"n1/n1_{i:06}.png" for i in range(30_000)])
    dataset = new_dataset(index, client="boto3")
    before = len(pickle.dumps(dataset))
    assert before < 2_000
    dataset.store._boto3.client()  # type: ignore[attr-defined]
    assert len(pickle.dumps(dataset)) == before
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.store._connection.peek() is None
    assert copy.describe(-1) == "n1/n1_029999.png"
    assert copy.store.options == dataset.store.options


def test_the_credentials_file_gives_place_and_fallback_and_arguments_win(tmp_path: Path, index: Path) -> None:
    entries = {
        "aws_access_key_id": "key",
        "aws_secret_access_key": "secret",
        "bucket_name": "its-bucket",
        "endpoint_url": ENDPOINT_URL,
        "region_name": "its-region",
    }
    file = written(tmp_path / "s3.json", entries)
    options = S3Dataset(index, None, file).store.options  # type: ignore[attr-defined]
    assert (options.bucket_name, options.endpoint_url, options.region_name) == (
        "its-bucket",
        ENDPOINT_URL,
        "its-region",
    )
    assert options.fallback_credentials == StaticCredentials("key", "secret")
    given = S3Dataset(index, None, file, bucket_name="my-bucket", client="boto3", unsigned=True).store.options  # type: ignore[attr-defined]
    assert (given.bucket_name, given.client, given.unsigned) == ("my-bucket", "boto3", True)


def test_the_secret_shows_in_no_repr_of_dataset_or_store(tmp_path: Path, index: Path) -> None:
    file = written(tmp_path / "s3.json", {"access_key": "key", "secret": "top-secret", "bucket_name": "bucket"})
    dataset = S3Dataset(index, s3_credential_file=file)
    for shown in (repr(dataset), repr(dataset.store), dataset.store.describe("key")):
        assert "top-secret" not in shown


def test_use_cache_puts_a_bounded_cache_before_the_store(tmp_path: Path, index: Path) -> None:
    dataset = new_dataset(index, use_cache=True, cache_dir=tmp_path / "objects", cache_max_bytes=10_000_000)
    assert isinstance(dataset.store, CachedStore)
    assert len(pickle.dumps(dataset)) < 2_000


@pytest.mark.parametrize(
    ("changes", "error_type", "named"),
    [
        ({"bucket_name": None}, OptionError, "bucket_name"),
        ({"bucket_name": ""}, OptionError, "bucket_name"),
        ({"client": "requests"}, OptionError, "client: expected one of obstore, boto3, aiobotocore"),
        ({"endpoint_url": "127.0.0.1:9000"}, OptionError, "endpoint_url"),
        ({"dataset_type": "training"}, OptionError, "dataset_type: expected one of train, val, test"),
        ({"limit": 0}, OptionError, "limit"),
        ({"decoder": "opencv"}, OptionError, "decoder"),
        ({"class_id_base": -1, "classes_file": "c.json"}, OptionError, "class_id_base"),
        ({"classes_file": "nowhere.json"}, MissingFileError, "nowhere.json"),
        ({"s3_credential_file": "nowhere.json"}, MissingFileError, "nowhere.json"),
        ({"s3_credential_file": "empty.json"}, CredentialsFileError, "empty.json"),
    ],
)
def test_what_is_wrong_is_refused_at_construction_by_its_name(
    tmp_path: Path,
    index: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    error_type: type[Exception],
    named: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "empty.json", {})
    written(tmp_path / "c.json", {"n1": {"id": 1}})
    with pytest.raises(error_type, match=named):
        new_dataset(index, **changes)


def test_an_index_that_is_none_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(IndexFileError, match=r"index\.json"):
        new_dataset(written(tmp_path / "index.json", {"a": 1}))


def test_neither_construction_nor_download_starts_obstore_in_the_main_process(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)  # importing it would raise
    dataset = new_dataset(index)
    with pytest.raises(ImportError):
        dataset.fetch(0)
