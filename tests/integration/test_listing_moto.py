"""Parallel listing against moto's server, which pages as S3 does."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from aws_environment import isolate_aws
from moto.server import ThreadedMotoServer

from concurrent_dataloader import S3Dataset
from concurrent_dataloader.dataset import load_index
from concurrent_dataloader.dataset.listing import list_objects
from concurrent_dataloader.storage import ObjectInfo, Page, S3Options, S3Store, s3_boto3

KEYS = [f"train/n{label}/{at}.JPEG" for label in range(6) for at in range(7)]
KEYS += [f"flat/{at * 7919 % 1000:03d} ü+%&" for at in range(40)] + ["top", "a/very/deep/tree/of/one/key"]
PREFIXES = ["", "train/", "train/n", "flat/", "flat/0", "nothing/"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Store]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as monkeypatch:
        isolate_aws(monkeypatch, tmp_path_factory.mktemp("aws"))
        monkeypatch.setattr(s3_boto3, "PAGE_SIZE", 5)
        store = S3Store(S3Options("bucket", "http://{}:{}".format(*server.get_host_and_port())))
        store._boto3.client().create_bucket(Bucket="bucket")
        for key in KEYS:
            store.put(key, b"12")
        yield store
    server.stop()


@pytest.mark.parametrize("prefix", PREFIXES)
def test_listing_many_pages_in_parallel_is_the_serial_listing(store: S3Store, prefix: str) -> None:
    listed = list(list_objects(store, prefix))
    assert listed == list(store.list(prefix))
    assert listed == [ObjectInfo(key, 2) for key in sorted(KEYS, key=str.encode) if key.startswith(prefix)]


def test_a_page_starts_anywhere_and_says_whether_more_follows(store: S3Store) -> None:
    assert store.list_page("train/n0/", "train/n0/3", max_entries=2) == Page(
        [], [ObjectInfo("train/n0/3.JPEG", 2), ObjectInfo("train/n0/4.JPEG", 2)], True
    )
    assert store.list_page("train/", "train/n3/z", delimiter="/") == Page(["train/n4/", "train/n5/"], [], False)
    assert store.list_page("train/", "train/n9") == Page([], [], False)


def test_index_all_lists_chooses_and_uploads(store: S3Store, tmp_path: Path) -> None:
    index = tmp_path / "index.json"
    place = {"bucket_name": "bucket", "endpoint_url": store.options.endpoint_url}
    count = S3Dataset.index_all(
        index,
        prefix="train/",
        suffix=".jpeg",
        include="n[0-3]/*",
        exclude="*/0.JPEG",
        limit=20,
        upload_key="meta/index.json",
        show_progress=False,
        **place,  # type: ignore[arg-type]
    )
    expected = [key for key in KEYS if key.startswith("train/n") and key[7] in "0123" and not key.endswith("/0.JPEG")]
    assert count == 20
    assert list(load_index(index)) == expected[:20]
    assert store.get("meta/index.json") == index.read_bytes()
    store._boto3.client().delete_object(Bucket="bucket", Key="meta/index.json")
