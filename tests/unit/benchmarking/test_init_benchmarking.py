"""`get_dataset`: a dataset by its name, from files with the usual names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aws_environment import isolate_aws
from pictures import plain

from benchmarking.misc.init_benchmarking import get_dataset
from concurrent_dataloader._base.errors import MissingFileError, OptionError
from concurrent_dataloader.dataset import S3Dataset, ScratchDataset
from concurrent_dataloader.storage import StaticCredentials
from concurrent_dataloader.storage.cache import CachedStore

KEYS = ["n1_1.png", "n2_2.png", "n1_3.png"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with pictures and classes but no index."""
    isolate_aws(monkeypatch, tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for number, key in enumerate(KEYS):
        (tmp_path / key).write_bytes(plain(number))
    write("imagenet-train-classes.json", {"n1": {"id": 1}, "n2": {"id": 2}})
    write("imagenet-val-classes.json", {"0": 2, "1": 1, "2": 1})
    return tmp_path


def write(name: str, content: object) -> str:
    Path(name).write_text(json.dumps(content))
    return name


def test_scratch_reads_the_files_with_the_usual_names_in_the_working_directory() -> None:
    write("index-scratch-train.json", KEYS)
    dataset = get_dataset("scratch")
    assert type(dataset) is ScratchDataset
    assert [target for _, target in dataset] == [0, 1, 0]


def test_the_dataset_type_chooses_index_and_classes() -> None:
    write("index-scratch-val.json", KEYS)
    assert [target for _, target in get_dataset("scratch", dataset_type="val")] == [1, 0, 0]


def test_a_test_set_has_no_classes() -> None:
    write("index-scratch-test.json", KEYS)
    assert get_dataset("scratch", "test")[0].size == (4, 4)


def test_given_files_limit_cache_and_further_options_reach_the_dataset(folder: Path) -> None:
    options: dict[str, Any] = {"transform": lambda image: image.size, "cache_dir": folder / "objects"}
    dataset = get_dataset(
        "scratch",
        limit=2,
        use_cache=True,
        index_file=write("my-index.json", KEYS[::-1]),
        classes_file=write("my-classes.json", {"n1": {"id": 0}, "n2": {"id": 1}}),
        **options,
    )
    assert list(dataset) == [((4, 4), 0), ((4, 4), 1)]
    assert isinstance(dataset.store, CachedStore)


def test_s3_takes_bucket_and_keys_from_the_usual_credentials_file() -> None:
    write("index-s3-train.json", KEYS)
    write("s3_credentials.json", {"access_key": "key", "secret": "secret", "bucket_name": "its-bucket"})
    dataset = get_dataset("s3")
    assert type(dataset) is S3Dataset
    options = dataset.store.options  # type: ignore[attr-defined]
    assert options.bucket_name == "its-bucket"
    assert options.fallback_credentials == StaticCredentials("key", "secret")


def test_a_given_credentials_file_wins_over_the_usual_one() -> None:
    write("index-s3-train.json", KEYS)
    write("s3_credentials.json", {"bucket_name": "not-this"})
    given = write("mine.json", {"bucket_name": "my-bucket"})
    dataset = get_dataset("s3", s3_credential_file=given)
    assert dataset.store.options.bucket_name == "my-bucket"  # type: ignore[attr-defined]


def test_s3_needs_no_credentials_file_where_the_bucket_is_given() -> None:
    write("index-s3-val.json", KEYS)
    dataset = get_dataset("s3", "val", bucket_name="my-bucket")
    assert dataset.store.options.fallback_credentials is None  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["S3", "imagenet", "", None, ["s3"]])
def test_an_unknown_name_lists_the_known_ones(name: Any) -> None:
    with pytest.raises(OptionError, match=r"^dataset: expected one of 's3', 'scratch', got "):
        get_dataset(name)


def test_an_unknown_dataset_type_lists_the_known_ones() -> None:
    with pytest.raises(OptionError, match=r"^dataset_type: expected one of train, val, test, got 'training'"):
        get_dataset("scratch", "training")  # type: ignore[arg-type]


@pytest.mark.parametrize("dataset", ["s3", "scratch"])
def test_a_missing_index_is_named_with_the_way_to_make_it(dataset: str) -> None:
    options = {"bucket_name": "bucket"} if dataset == "s3" else {}
    with pytest.raises(MissingFileError, match=rf"index-{dataset}-train\.json: make one with .*index_all"):
        get_dataset(dataset, **options)
