"""Datasets over whatever store a URI names."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_environment import isolate_aws
from fake_azure import FakeAzure
from large_bodies import LARGE, lower_the_bounds
from provider_environment import isolate_providers
from raw_s3_server import BODY, RawS3Server, status

from benchmarking.endpoint import S3Endpoint
from concurrent_dataloader import ObjectDataset, S3Dataset
from concurrent_dataloader._base.errors import (
    AccessDenied,
    IncompleteBody,
    IndexFileError,
    MissingFileError,
    OptionError,
    StorageError,
)
from concurrent_dataloader.dataset import listing_process
from concurrent_dataloader.storage import LocalStore, ObstoreStore, S3Options, S3Store
from concurrent_dataloader.storage.large_objects import spans_of

OBJECTS = {
    "data/cat/2.jpg": b"cat 2",
    "data/cat/1.JPG": b"cat 1",
    "data/ant/deep/1.png": b"ant",
    "data/ant/notes.txt": b"notes",
    "data/beside.jpg": b"beside",
    "database/dog/1.jpg": b"dog",
}
IN_ORDER = ["data/ant/deep/1.png", "data/cat/1.JPG", "data/cat/2.jpg"]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate_aws(monkeypatch, tmp_path)
    isolate_providers(monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user cache"))


@pytest.fixture
def bucket() -> Iterator[S3Endpoint]:
    """S3, and Google's XML interface, which is the same as far as we use it."""
    with S3Endpoint(OBJECTS, bucket="bucket") as endpoint:
        yield endpoint


@pytest.fixture
def azure() -> Iterator[FakeAzure]:
    with FakeAzure() as server:
        server.blobs |= OBJECTS
        yield server


@pytest.fixture
def web() -> Iterator[RawS3Server]:
    with RawS3Server() as server:
        yield server


def folder_of(tmp_path: Path) -> Path:
    for key, body in OBJECTS.items():
        (tmp_path / "tree" / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / key).write_bytes(body)
    return tmp_path / "tree" / "data"


def index_of(tmp_path: Path, keys: list[str]) -> Path:
    path = tmp_path / "index.json"
    path.write_text(json.dumps(keys))
    return path


def place(scheme: str, bucket: S3Endpoint, azure: FakeAzure) -> tuple[str, dict[str, Any]]:
    if scheme == "az":
        return "az://container/data", {"endpoint_url": azure.url, "account_name": "account"}
    return f"{scheme}://bucket/data", {"endpoint_url": bucket.url}


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_class_folders_of_any_bucket_are_listed_as_image_folder_would(
    scheme: str, bucket: S3Endpoint, azure: FakeAzure
) -> None:
    uri, how = place(scheme, bucket, azure)
    dataset = ObjectDataset.from_uri(uri, class_folders=True, decoder=bytes, **how)
    assert type(dataset) is ObjectDataset
    assert list(dataset.keys) == IN_ORDER
    assert dataset.classes == ["ant", "cat"]
    assert dataset.targets.tolist() == [0, 1, 1]
    assert [dataset[i] for i in range(3)] == [(b"ant", 0), (b"cat 1", 1), (b"cat 2", 1)]


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_without_classes_samples_are_the_images_below_the_prefix(
    scheme: str, bucket: S3Endpoint, azure: FakeAzure
) -> None:
    uri, how = place(scheme, bucket, azure)
    dataset = ObjectDataset.from_uri(uri, decoder=bytes, **how)
    assert list(dataset.keys) == ["data/ant/deep/1.png", "data/beside.jpg", "data/cat/1.JPG", "data/cat/2.jpg"]
    assert dataset[1] == b"beside"
    assert len(ObjectDataset.from_uri(uri, suffix=None, limit=2, **how)) == 2
    assert list(ObjectDataset.from_uri(uri, suffix=".txt", **how).keys) == ["data/ant/notes.txt"]


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_the_sizes_of_the_listing_are_kept_and_bodies_held_against_them(
    scheme: str, bucket: S3Endpoint, azure: FakeAzure
) -> None:
    uri, how = place(scheme, bucket, azure)
    for dataset in (
        ObjectDataset.from_uri(uri, decoder=bytes, **how),
        ObjectDataset.from_uri(uri, class_folders=True, decoder=bytes, **how),
    ):
        assert [dataset.keys.size_of(at) for at in range(len(dataset))] == [len(OBJECTS[key]) for key in dataset.keys]
    S3Store(S3Options("bucket", bucket.url)).put("data/cat/1.JPG", b"another body")
    azure.blobs["data/cat/1.JPG"] = b"another body"
    with pytest.raises(IncompleteBody, match=r"data/cat/1\.JPG.*12 bytes arrived, 5 were listed"):
        dataset[IN_ORDER.index("data/cat/1.JPG")]


@pytest.mark.parametrize("client", ["obstore", "boto3", "aiobotocore"])
def test_a_large_object_that_was_listed_is_read_by_ranges_alone(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lower_the_bounds(monkeypatch)
    with S3Endpoint({"train/cat/1.jpg": LARGE}, bucket="bucket") as endpoint:
        dataset = S3Dataset.from_prefix("s3://bucket/train", endpoint_url=endpoint.url, client=client, decoder=bytes)
        endpoint.reset_stats()
        assert dataset[0] == (LARGE, 0)
        assert endpoint.stats().requests.keys() == {"GET"}
        assert endpoint.stats().statuses == {"206": len(spans_of(len(LARGE)))}


def test_a_bucket_is_s3s_with_all_that_s3dataset_takes(bucket: S3Endpoint) -> None:
    dataset = ObjectDataset.from_uri(
        "s3://bucket/data/", endpoint_url=bucket.url, client="boto3", region_name="r", addressing_style="path"
    )
    assert isinstance(dataset.store, S3Store)
    options = dataset.store.options
    assert (options.client, options.region_name, options.addressing_style) == ("boto3", "r", "path")


def test_s3dataset_lists_a_prefix_into_a_dataset_of_its_own_kind(bucket: S3Endpoint, tmp_path: Path) -> None:
    dataset = S3Dataset.from_prefix(
        "s3://bucket/data", endpoint_url=bucket.url, decoder=bytes, use_cache=True, cache_dir=tmp_path / "objects"
    )
    assert type(dataset) is S3Dataset
    assert [dataset[i] for i in range(3)] == [(b"ant", 0), (b"cat 1", 1), (b"cat 2", 1)]
    assert pickle.loads(pickle.dumps(dataset))[2] == (b"cat 2", 1)
    with pytest.raises(MissingFileError, match="s3://bucket/nothing/"):
        S3Dataset.from_prefix("s3://bucket/nothing", endpoint_url=bucket.url)


def test_a_local_folder_is_read_below_the_uri(tmp_path: Path) -> None:
    dataset = ObjectDataset.from_uri(folder_of(tmp_path).as_uri(), class_folders=True, decoder=bytes)
    assert isinstance(dataset.store, LocalStore)
    assert list(dataset.keys) == [key.removeprefix("data/") for key in IN_ORDER]
    assert dataset[2] == (b"cat 2", 1)


def test_a_folder_whose_name_a_uri_must_escape_is_found(tmp_path: Path) -> None:
    odd = tmp_path / "a b#ü"
    folder_of(tmp_path).rename(odd)
    assert len(ObjectDataset.from_uri(odd.as_uri())) == 4


def test_a_web_server_is_read_by_an_index_with_classes_from_either_source(web: RawS3Server, tmp_path: Path) -> None:
    index = index_of(tmp_path, ["cat/b_1.jpg", "ant/a_2.jpg", "cat/a_3.jpg"])
    dataset = ObjectDataset.from_uri(f"{web.url}/data/", index, class_folders=True, decoder=bytes)
    assert dataset.classes == ["ant", "cat"]
    assert dataset.targets.tolist() == [1, 0, 1]
    assert dataset[1] == (BODY, 0)
    assert [path for _, path, _ in web.seen] == ["/data/ant/a_2.jpg"]
    (tmp_path / "classes.json").write_text('{"b": {"id": 5, "name": "b"}, "a": {"id": 4, "name": "a"}}')
    dataset = ObjectDataset.from_uri(web.url, index, tmp_path / "classes.json", class_id_base=4)
    assert dataset.targets.tolist() == [1, 0, 0]


def test_a_web_server_without_an_index_is_refused_with_the_remedy(web: RawS3Server) -> None:
    with pytest.raises(OptionError, match=r"index_file: a web server cannot be listed.*index_all"):
        ObjectDataset.from_uri(web.url, class_folders=True)
    assert web.seen == []


def test_an_index_of_a_bucket_holds_whole_keys_below_the_prefix(bucket: S3Endpoint, tmp_path: Path) -> None:
    index = index_of(tmp_path, ["data/cat/2.jpg", "data/beside.jpg"])
    dataset = ObjectDataset.from_uri("gs://bucket/data", index, endpoint_url=bucket.url, decoder=bytes)
    assert [dataset[0], dataset[1]] == [b"cat 2", b"beside"]
    with pytest.raises(
        IndexFileError, match=r"index.json: entry 1 .*'data/beside.jpg'; expected one below gs://bucket/data/cat/"
    ):
        ObjectDataset.from_uri("gs://bucket/data/cat", index)
    with pytest.raises(IndexFileError, match=r"entry 1 .*expected one in a class folder"):
        ObjectDataset.from_uri("gs://bucket/data", index, class_folders=True)


def test_an_index_that_leaves_a_local_folder_is_refused(tmp_path: Path) -> None:
    index = index_of(tmp_path, ["cat/1.jpg", "../secret"])
    with pytest.raises(IndexFileError, match=r"entry 1 .*'\.\./secret'"):
        ObjectDataset.from_uri(folder_of(tmp_path).as_uri(), index)


@pytest.mark.parametrize(
    ("uri", "options", "named"),
    [
        ("ftp://host/x", {}, r"uri: expected s3://bucket/prefix.*got 'ftp://host/x'$"),
        ("/data/images", {}, "uri: .*got '/data/images'"),
        (5, {}, "uri: .*got int"),
        ("s3:///prefix", {}, "names no bucket"),
        ("gs:///prefix", {}, "uri"),
        ("file://host/path", {}, "uri: expected file:///path"),
        ("gs://bucket", {"client": "boto3"}, "client: does not go with gs://; expected no other than endpoint_url"),
        ("https://host", {"unsigned": True}, "unsigned: does not go with https://"),
        ("file:///data", {"endpoint_url": "https://h"}, "endpoint_url: does not go with file://"),
        ("az://container", {}, "account_name"),
        ("gs://bucket", {"classes_file": "c.json", "class_folders": True}, "classes_file, class_folders"),
        ("gs://bucket", {"class_id_base": 1}, "class_id_base"),
        ("gs://bucket", {"index_file": "i.json", "suffix": ".jpg"}, "suffix: goes with a listing alone"),
        ("gs://bucket", {"suffix": 7}, "suffix"),
        ("gs://bucket", {"limit": -1}, "limit"),
        ("gs://bucket", {"ca_bundle": Path("/no/such.pem")}, "ca_bundle"),
    ],
)
def test_a_wrong_argument_is_refused_by_its_name_before_anything_is_listed(
    uri: Any, options: dict[str, Any], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing_process.subprocess, "Popen", None)
    with pytest.raises(OptionError, match=named):
        ObjectDataset.from_uri(uri, **options)


def test_an_unknown_argument_is_named() -> None:
    with pytest.raises(TypeError, match="bucket_name"):
        ObjectDataset.from_uri("gs://bucket", bucket_name="x")  # type: ignore[call-arg]


def test_the_errors_of_the_listing_process_are_those_of_the_store(bucket: S3Endpoint, azure: FakeAzure) -> None:
    with pytest.raises(FileNotFoundError, match="gs://other"):
        ObjectDataset.from_uri("gs://other/data", endpoint_url=bucket.url)
    azure.blobs["data/a//b.jpg"] = b""
    with pytest.raises(StorageError, match="data/a//"):
        ObjectDataset.from_uri("az://container/data", endpoint_url=azure.url, account_name="account")


def test_a_listing_process_that_dies_is_an_error_that_names_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    for code in ("raise SystemExit(3)", "import sys; sys.stdin.readline(); print('[', end='')"):
        monkeypatch.setattr(listing_process, "_BOOTSTRAP", code)
        with pytest.raises(StorageError, match="gs://bucket/data/: the process that lists it ended with exit code"):
            ObjectDataset.from_uri("gs://bucket/data")


def test_a_listing_that_is_left_early_leaves_no_process_behind(
    azure: FakeAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []

    class Noted(listing_process.subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **others: Any) -> None:
            super().__init__(*arguments, **others)
            started.append(self)

    monkeypatch.setattr(listing_process.subprocess, "Popen", Noted)
    how = {"endpoint_url": azure.url, "account_name": "account"}
    assert len(ObjectDataset.from_uri("az://container/data", limit=1, **how)) == 1  # type: ignore[arg-type]
    [process] = started
    assert process.returncode is not None
    assert process.args[0] == sys.executable


def test_a_store_is_opened_without_a_request(azure: FakeAzure, tmp_path: Path) -> None:
    index = index_of(tmp_path, ["data/cat/2.jpg"])
    how = {"endpoint_url": azure.url, "account_name": "account"}
    dataset = ObjectDataset.from_uri("az://container", index, **how)  # type: ignore[arg-type]
    assert isinstance(dataset.store, ObstoreStore)
    assert azure.seen == []


def test_a_refusal_of_the_store_is_an_access_denied(web: RawS3Server) -> None:
    web.plan(then=status(403, "AccessDenied", "no"))
    with pytest.raises(AccessDenied, match="gs://bucket"):
        ObjectDataset.from_uri("gs://bucket", endpoint_url=web.url)
