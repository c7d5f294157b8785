"""The S3 dataset end to end, against moto's server: index, download, loader, errors; and as whom requests arrive."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aws_environment import isolate_aws
from moto.server import ThreadedMotoServer
from pictures import numbered, plain

from benchmarking.endpoint import S3Endpoint
from concurrent_dataloader import DataLoader, S3Dataset
from concurrent_dataloader._base.errors import AccessDenied, DecodeError, MissingFileError, ObjectNotFound
from concurrent_dataloader.dataset import load_index
from concurrent_dataloader.storage import S3Options, S3Store, s3_boto3
from concurrent_dataloader.storage.options import ClientName

CLIENTS: list[ClientName] = ["obstore", "boto3", "aiobotocore"]
SPELLINGS = [("access_key", "secret"), ("aws_access_key_id", "aws_secret_access_key")]
PICTURES = {f"train/{name.split('_')[0]}/{name}": body for name, body in numbered("n1_{}.PNG", 5).items()}
PICTURES |= {f"train/deeper/n2/{name}": body for name, body in numbered("n2_{}.PNG", 7).items()}
OTHERS = {"train/notes.txt": b"no picture", "train/n1/": b"", "val/n1_9.PNG": plain(9)}
CLASSES = {"n1": {"id": 1, "name": "one"}, "n2": {"id": 2, "name": "two"}}

_numbers = itertools.count()


@pytest.fixture(scope="module")
def endpoint_url() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate_aws(monkeypatch, tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def bucket(endpoint_url: str) -> S3Store:
    """A bucket of its own with twelve pictures of two classes below ``train/``, and other objects."""
    store = S3Store(S3Options(f"pictures-{next(_numbers)}", endpoint_url, client="boto3"))
    store._boto3.client().create_bucket(Bucket=store.options.bucket_name)
    for key, body in (PICTURES | OTHERS).items():
        store.put(key, body)
    return store


def place(bucket: S3Store) -> dict[str, Any]:
    return {"bucket_name": bucket.options.bucket_name, "endpoint_url": bucket.options.endpoint_url}


def written(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def level(image: Any) -> int:
    return int(np.asarray(image)[0, 0, 0])


def samples(batches: Any) -> list[tuple[int, int]]:
    return [pair for images, targets in batches for pair in zip(images.tolist(), targets.tolist(), strict=True)]


EXPECTED = [(i, 1) for i in range(7)] + [(i, 0) for i in range(5)]  # "train/deeper" sorts before "train/n1"


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("fetch_impl", ["threaded", "asyncio"])
@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_an_indexed_bucket_is_read_through_the_loader(
    bucket: S3Store, tmp_path: Path, client: ClientName, fetch_impl: Any, num_workers: int
) -> None:
    index = tmp_path / "index.json"
    assert S3Dataset.index_all(index, prefix="train/", suffix=".png", **place(bucket)) == 12
    classes = written(tmp_path / "classes.json", CLASSES)
    dataset = S3Dataset(index, classes, client=client, transform=level, **place(bucket))
    # Workers start from a new interpreter: this one has used obstore, which changes what forked ones do.
    context = "spawn" if num_workers and client == "obstore" else None
    loader = DataLoader(
        dataset,
        batch_size=5,
        num_workers=num_workers,
        num_fetch_workers=4,
        fetch_impl=fetch_impl,
        multiprocessing_context=context,
    )
    assert samples(loader) == EXPECTED


class TestIndexing:
    def test_markers_of_folders_are_left_out_and_every_page_is_read(
        self, bucket: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(s3_boto3, "PAGE_SIZE", 2)
        assert S3Dataset.index_all(tmp_path / "index.json", **place(bucket)) == len(PICTURES) + 2
        assert list(load_index(tmp_path / "index.json")) == sorted([*PICTURES, "train/notes.txt", "val/n1_9.PNG"])

    @pytest.mark.parametrize("name", ["index.json", "index.json.gz"])
    @pytest.mark.parametrize("scheme", ["s3", "http"])
    def test_an_uploaded_index_is_downloaded_by_the_next_dataset(
        self, bucket: S3Store, tmp_path: Path, name: str, scheme: str
    ) -> None:
        options = {"prefix": "train/", "suffix": [".PNG"], "upload_key": f"files/{name}", **place(bucket)}
        S3Dataset.index_all(tmp_path / name, **options)
        assert bucket.get(f"files/{name}") == (tmp_path / name).read_bytes()
        bucket.put("files/classes.json", json.dumps(CLASSES).encode())
        bucket_name, endpoint_url = bucket.options.bucket_name, bucket.options.endpoint_url
        if scheme == "http":  # a plain URL is read without credentials
            for key in (f"files/{name}", "files/classes.json"):
                bucket._boto3.client().put_object_acl(Bucket=bucket_name, Key=key, ACL="public-read")
        root = f"s3://{bucket_name}" if scheme == "s3" else f"{endpoint_url}/{bucket_name}"
        file = written(
            tmp_path / "s3.json",
            {
                **place(bucket),
                "train_index_file_download_url": f"{root}/files/{name}",
                "train_classes_file_download_url": f"{root}/files/classes.json",
            },
        )
        dataset = S3Dataset(tmp_path / "new" / "i.json", tmp_path / "new" / "c.json", file, transform=level)
        assert [dataset[i] for i in (0, -1)] == [EXPECTED[0], EXPECTED[-1]]

    def test_a_presigned_url_downloads_and_its_failure_shows_no_signature(
        self, bucket: S3Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        bucket.put("index.json", json.dumps(sorted(PICTURES)).encode())
        client, name = bucket._boto3.client(), bucket.options.bucket_name
        urls = [
            client.generate_presigned_url("get_object", Params={"Bucket": name, "Key": key})
            for key in ("index.json", "nowhere.json")
        ]
        assert "Signature" in urls[0]
        good, bad = (
            written(tmp_path / f"{n}.json", {**place(bucket), "test_index_file_download_url": url})
            for n, url in enumerate(urls)
        )
        with caplog.at_level(logging.DEBUG, "concurrent_dataloader"):
            assert len(S3Dataset(tmp_path / "i.json", None, good, dataset_type="test")) == 12
            with pytest.raises(ObjectNotFound, match=r"/nowhere\.json: the server answered 404") as caught:
                S3Dataset(tmp_path / "j.json", None, bad, dataset_type="test")
        assert "Signature" not in caplog.text + str(caught.value)
        assert not (tmp_path / "j.json").exists()

    def test_an_index_that_is_missing_in_the_bucket_names_key_and_bucket(self, bucket: S3Store, tmp_path: Path) -> None:
        name = bucket.options.bucket_name
        url = {"train_index_file_download_url": f"s3://{name}/no such index.json"}
        file = written(tmp_path / "s3.json", {**place(bucket), **url})
        with pytest.raises(ObjectNotFound, match=f"s3://{name}/no such index.json"):
            S3Dataset(tmp_path / "index.json", None, file)
        assert not (tmp_path / "index.json").exists()

    def test_nothing_that_matches_writes_and_uploads_nothing(self, bucket: S3Store, tmp_path: Path) -> None:
        with pytest.raises(MissingFileError, match=rf"nothing in s3://{bucket.options.bucket_name}/none/"):
            S3Dataset.index_all(tmp_path / "index.json", prefix="none/", upload_key="index.json", **place(bucket))
        assert not (tmp_path / "index.json").exists()
        with pytest.raises(ObjectNotFound):
            bucket.head("index.json")


@pytest.mark.parametrize("client", CLIENTS)
class TestErrors:
    def test_a_missing_key_is_not_found_and_names_key_and_bucket(
        self, bucket: S3Store, tmp_path: Path, client: ClientName
    ) -> None:
        index = written(tmp_path / "index.json", ["train/n1/n1_0.PNG", "train/gone_1.PNG"])
        dataset = S3Dataset(index, client=client, transform=level, **place(bucket))
        named = f"s3://{bucket.options.bucket_name}/train/gone_1.PNG"
        with pytest.raises(ObjectNotFound, match=named):
            dataset[1]
        with pytest.raises(ObjectNotFound, match=named):
            asyncio.run(fetched(dataset, 1))
        assert dataset[0] == 0

    def test_a_wrong_bucket_is_not_found_and_named(self, bucket: S3Store, tmp_path: Path, client: ClientName) -> None:
        index = written(tmp_path / "index.json", ["train/n1/n1_0.PNG"])
        wrong = {**place(bucket), "bucket_name": "no-such-bucket"}
        with pytest.raises(ObjectNotFound, match="s3://no-such-bucket/train/n1/n1_0.PNG"):
            S3Dataset(index, client=client, **wrong)[0]
        with pytest.raises(ObjectNotFound, match="no-such-bucket"):
            S3Dataset.index_all(tmp_path / "other.json", **wrong)

    def test_an_object_that_is_no_picture_names_key_and_bucket(
        self, bucket: S3Store, tmp_path: Path, client: ClientName
    ) -> None:
        index = written(tmp_path / "index.json", ["train/notes.txt"])
        with pytest.raises(DecodeError, match=f"s3://{bucket.options.bucket_name}/train/notes.txt.*: 10 bytes"):
            S3Dataset(index, client=client, **place(bucket))[0]

    def test_a_part_of_an_object_can_be_read(self, bucket: S3Store, tmp_path: Path, client: ClientName) -> None:
        key = "train/n1/n1_3.PNG"
        dataset = S3Dataset(written(tmp_path / "index.json", [key]), client=client, **place(bucket))
        assert dataset.store.get_range(key, 1, 4) == b"PNG"


async def fetched(dataset: S3Dataset, index: int) -> bytes:
    try:
        return await dataset.afetch(index)
    finally:
        await dataset.aclose()


@pytest.fixture(scope="module")
def strict_endpoint() -> Iterator[S3Endpoint]:
    """An endpoint that lets in only one access key, which each test sets."""
    index = json.dumps(["n1_0.png"]).encode()
    with S3Endpoint({"n1_0.png": plain(7), "index.json": index}, bucket="strict") as endpoint:
        yield endpoint


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("names", SPELLINGS)
@pytest.mark.parametrize("chain", [None, "environment", "~/.aws"])
def test_requests_arrive_as_the_chains_key_and_as_the_files_only_where_the_chain_has_none(
    strict_endpoint: S3Endpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    client: ClientName,
    names: tuple[str, str],
    chain: str | None,
) -> None:
    isolate_aws(monkeypatch, tmp_path, credentials=False)
    if chain == "environment":
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "chain-key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "chain-secret")
    elif chain:
        pair = "aws_access_key_id = chain-key\naws_secret_access_key = chain-secret\n"
        (tmp_path / "credentials").write_text(f"[default]\n{pair}")
    entries = {
        **dict(zip(names, ("file-key", "file-secret"), strict=True)),
        "bucket_name": "strict",
        "endpoint_url": strict_endpoint.url,
        "train_index_file_download_url": "s3://strict/index.json",
    }
    file = written(tmp_path / "s3.json", entries)

    def read(index_name: str) -> list[int]:
        dataset = S3Dataset(tmp_path / index_name, None, file, client=client, transform=level)
        fetch_impl: Any = "asyncio" if client == "aiobotocore" else "threaded"
        return [int(batch) for batch in DataLoader(dataset, batch_size=None, fetch_impl=fetch_impl)]

    expected, other = ("chain-key", "file-key") if chain else ("file-key", "chain-key")
    strict_endpoint.configure(access_key=expected)
    with caplog.at_level(logging.DEBUG, "concurrent_dataloader"):
        assert read("index.json") == [7]
    assert ("credentials from the AWS chain" if chain else "credentials from the credentials file") in caplog.text
    assert "-secret" not in caplog.text

    strict_endpoint.configure(access_key=other)
    with pytest.raises(AccessDenied, match=r"n1_0\.png") as caught:
        read("index.json")
    with pytest.raises(AccessDenied, match=r"s3://strict/index\.json"):
        read("not-downloaded-yet.json")
    assert "-secret" not in str(caught.value)
