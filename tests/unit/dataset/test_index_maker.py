"""Index files of what a store lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from aws_environment import isolate_aws

from benchmarking.endpoint import S3Endpoint
from concurrent_dataloader._base.errors import MissingFileError, StorageError
from concurrent_dataloader.dataset import S3Dataset, ScratchDataset, load_index
from concurrent_dataloader.dataset.index_maker import (
    index_folders,
    index_objects,
    listed_for,
    path_of_folder,
    with_progress,
)
from concurrent_dataloader.dataset.inventory_rows import UNKNOWN_SIZE
from concurrent_dataloader.dataset.key_filter import KeyFilter
from concurrent_dataloader.storage import LocalStore, ObjectInfo, s3_boto3

OBJECTS = [ObjectInfo(key, len(key)) for key in ("in/README", "in/test/1", "in/train/a/1", "in/train/b/2", "in/val/3")]


def test_objects_become_an_index_with_sizes(tmp_path: Path) -> None:
    assert index_objects(tmp_path / "index.json", OBJECTS, KeyFilter(), "memory") == 5
    keys = load_index(tmp_path / "index.json")
    assert list(keys) == [each.key for each in OBJECTS]


def test_sizes_that_are_not_known_are_left_out(tmp_path: Path) -> None:
    objects = [ObjectInfo("a", UNKNOWN_SIZE), ObjectInfo("b", 2)]
    index_objects(tmp_path / "index.jsonl", objects, KeyFilter(), "memory")
    assert (tmp_path / "index.jsonl").read_text() == '{"key": "a"}\n{"key": "b", "size": 2}\n'


def test_each_folder_gets_its_index_and_others_are_skipped(tmp_path: Path) -> None:
    paths = {folder: tmp_path / f"{folder}.json" for folder in ("train", "val", "extra")}
    assert index_folders(paths, OBJECTS, KeyFilter(), "in/", "memory") == {"train": 2, "val": 1}
    assert list(load_index(paths["train"])) == ["in/train/a/1", "in/train/b/2"]
    assert list(load_index(paths["val"])) == ["in/val/3"]
    assert not paths["extra"].exists()


def test_the_limit_holds_for_each_folder_and_ends_the_listing_early(tmp_path: Path) -> None:
    objects = iter([*OBJECTS, ObjectInfo("in/val/4", 1), ObjectInfo("in/zoo/1", 1)])
    paths = {folder: tmp_path / f"{folder}.json" for folder in ("train", "val")}
    assert index_folders(paths, objects, KeyFilter(limit=1), "in/", "memory") == {"train": 1, "val": 1}
    assert next(objects).key == "in/val/4"


def test_a_listing_that_fails_at_its_end_leaves_all_old_files(tmp_path: Path) -> None:
    def failing() -> Iterator[ObjectInfo]:
        yield from OBJECTS
        raise StorageError("the last request failed")

    paths = {folder: tmp_path / f"{folder}.json" for folder in ("test", "train")}
    for path in paths.values():
        path.write_text("old")
    with pytest.raises(StorageError, match="last request"):
        index_folders(paths, failing(), KeyFilter(), "in/", "memory")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["test.json", "train.json"]
    assert [path.read_text() for path in paths.values()] == ["old", "old"]


def test_no_match_in_any_folder_is_an_error_that_names_them(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="nothing in memory matches in a, b"):
        index_folders({"a": tmp_path / "a", "b": tmp_path / "b"}, OBJECTS, KeyFilter(), "in/", "memory")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("index.json", "index-train.json"), ("i.jsonl.gz", "i-train.jsonl.gz"), ("index", "index-train")],
)
def test_a_folders_index_is_named_after_it(name: str, expected: str) -> None:
    assert path_of_folder(Path("out.d") / name, "train") == Path("out.d") / expected


def test_index_files_below_the_folder_are_not_listed(tmp_path: Path) -> None:
    for name in ("1.jpg", "index.json", "index.json.packed", ".index.json.0f1e2d3c.part", "other.json"):
        (tmp_path / name).write_text("x")
    listing = listed_for([tmp_path / "index.json"], LocalStore(tmp_path), "", show_progress=False)
    assert [each.key for each in listing] == ["1.jpg", "other.json"]


def test_a_progress_bar_changes_no_object() -> None:
    assert list(with_progress(OBJECTS, True)) == list(with_progress(OBJECTS, False)) == OBJECTS


def test_index_all_of_a_folder_takes_patterns_and_a_limit(tmp_path: Path) -> None:
    for at in range(4):
        (tmp_path / "data" / f"{at % 2}").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / f"{at % 2}" / f"{at}.jpg").write_text("x")
    index = tmp_path / "index.json"
    count = ScratchDataset.index_all(
        index, local_path=tmp_path / "data", include="*/*.jpg", exclude=["*/0.jpg"], limit=2, show_progress=False
    )
    assert count == 2
    assert list(load_index(index)) == ["0/2.jpg", "1/1.jpg"]


def test_a_bucket_with_latency_is_listed_with_many_requests_in_flight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolate_aws(monkeypatch, tmp_path)
    monkeypatch.setattr(s3_boto3, "PAGE_SIZE", 10)
    keys = [f"train/n{label:03d}/{at:02d}.JPEG" for label in range(40) for at in range(25)]
    with S3Endpoint(dict.fromkeys(keys, b"12"), bucket="bucket", latency_s=0.1) as endpoint:
        count = S3Dataset.index_all(
            tmp_path / "index.json", bucket_name="bucket", endpoint_url=endpoint.url, show_progress=False
        )
        assert count == len(keys)
        assert list(load_index(tmp_path / "index.json")) == keys
        assert endpoint.stats().max_in_flight >= 8
