"""What both datasets do with their files: find, download, check, read; and the choice of place and cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from concurrent_dataloader._base.errors import (
    ClassesFileError,
    CredentialsFileError,
    IndexFileError,
    MissingFileError,
    OptionError,
)
from concurrent_dataloader.dataset import CredentialsFile, ScratchDataset
from concurrent_dataloader.dataset.dataset_files import load_files, s3_options, with_cache
from concurrent_dataloader.storage import StaticCredentials
from concurrent_dataloader.storage.cache import CachedStore
from concurrent_dataloader.storage.memory import MemoryStore

INDEX = json.dumps(["a/n1_1.png", "a/n2_1.png"]).encode()
CLASSES = json.dumps({"n1": {"id": 1, "name": "one"}, "n2": {"id": 2, "name": "two"}}).encode()
FROM_2 = json.dumps({"n1": {"id": 2, "name": "two"}}).encode()


def load(folder: Path, *, index: str = "index.json", classes: str | None = "classes.json", **options: Any) -> Any:
    given: dict[str, Any] = {"dataset_type": "train", "class_id_base": None, "file": None, "read_s3": bodies()}
    return load_files(folder / index, folder / classes if classes else None, **{**given, **options})


def bodies(**by_key: bytes) -> Any:
    return lambda bucket, key: by_key[f"{bucket}_{key}"]


def file_with(**urls: str) -> CredentialsFile:
    return CredentialsFile(Path("s3.json"), download_urls={f"{n}_file_download_url": url for n, url in urls.items()})


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_missing_files_are_downloaded_from_the_urls_of_their_split(tmp_path: Path, split: str) -> None:
    urls = {f"{split}_index": "s3://place/index", f"{split}_classes": "s3://place/classes"}
    read_s3 = bodies(place_index=INDEX, place_classes=CLASSES)
    keys, classes = load(tmp_path, dataset_type=split, file=file_with(**urls), read_s3=read_s3)
    assert list(keys) == json.loads(INDEX)
    assert [classes.target_of(key) for key in keys] == [0, 1]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "index.json": INDEX,
        "classes.json": CLASSES,
    }


def test_files_that_are_there_are_not_downloaded(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_bytes(INDEX)
    (tmp_path / "classes.json").write_bytes(CLASSES)
    file = file_with(train_index="s3://nobody/asks", train_classes="s3://nobody/asks")
    keys, classes = load(tmp_path, file=file)
    assert len(keys) == 2
    assert classes.id_base == 1


def test_without_a_classes_file_none_is_downloaded(tmp_path: Path) -> None:
    file = file_with(train_index="s3://place/index", train_classes="s3://nobody/asks")
    keys, classes = load(tmp_path, classes=None, file=file, read_s3=bodies(place_index=INDEX))
    assert len(keys) == 2
    assert classes is None
    assert [path.name for path in tmp_path.iterdir()] == ["index.json"]


@pytest.mark.parametrize("file", [None, file_with(val_index="s3://place/index")])
def test_a_missing_index_without_a_url_says_how_to_make_one_and_which_entry_would_help(
    tmp_path: Path, file: CredentialsFile | None
) -> None:
    with pytest.raises(MissingFileError) as caught:
        load(tmp_path, file=file)
    message = str(caught.value)
    way = "make one with the command concurrent-dataloader index, S3Dataset.index_all"
    assert f"there is no index file {tmp_path / 'index.json'}: {way}" in message
    assert "'train_index_file_download_url' in " + ("the credentials file s3.json" if file else "a credent") in message


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((["a", "b"], None), r"index_file: .*got list; keys that are at hand go to IndexedDataset"),
        ((7, None), r"index_file: expected a path, got int"),
        (("index.json", {"a": 1}), r"classes_file: expected a path, got dict"),
    ],
)
def test_a_file_that_is_named_by_no_path_is_refused_by_the_arguments_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: tuple[Any, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("index.json").write_bytes(INDEX)
    with pytest.raises(OptionError, match=message):
        ScratchDataset(*files)


def test_a_missing_classes_file_without_a_url_names_the_other_way_out(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_bytes(INDEX)
    with pytest.raises(MissingFileError, match=r"no classes file .*classes\.json.* pass classes_file=None"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("index", "classes", "error_type"), [(b"<html>", CLASSES, IndexFileError), (INDEX, b"<html>", ClassesFileError)]
)
def test_a_download_that_is_not_what_it_should_be_is_not_kept(
    tmp_path: Path, index: bytes, classes: bytes, error_type: type[Exception]
) -> None:
    file = file_with(train_index="s3://place/index", train_classes="s3://place/classes")
    with pytest.raises(error_type, match=r"\.json, downloaded from s3://place/\w+, is not JSON at byte 0"):
        load(tmp_path, file=file, read_s3=bodies(place_index=index, place_classes=classes))
    assert [path.name for path in tmp_path.iterdir()] == ([] if error_type is IndexFileError else ["index.json"])


def test_classes_whose_base_cannot_be_told_are_kept_for_the_user_to_name_it(tmp_path: Path) -> None:
    file = file_with(train_index="s3://place/index", train_classes="s3://place/classes")
    read_s3 = bodies(place_index=INDEX, place_classes=FROM_2)
    with pytest.raises(ClassesFileError, match="pass class_id_base"):
        load(tmp_path, file=file, read_s3=read_s3)
    assert load(tmp_path, class_id_base=1)[1].target_of("n1_1.png") == 1


def test_a_url_that_is_none_names_file_and_entry(tmp_path: Path) -> None:
    with pytest.raises(
        CredentialsFileError, match=r"^s3\.json: entry 'train_index_file_download_url': expected https://.*got ftp:"
    ):
        load(tmp_path, file=file_with(train_index="ftp://host/index"))


@pytest.mark.parametrize("dataset_type", ["training", "", None, ["train"]])
def test_an_unknown_dataset_type_is_refused(tmp_path: Path, dataset_type: Any) -> None:
    with pytest.raises(OptionError, match="^dataset_type: expected one of train, val, test"):
        load(tmp_path, dataset_type=dataset_type)


class TestPlace:
    FILE = CredentialsFile(Path("s3.json"), StaticCredentials("key", "secret"), "its", "https://its", "its-region")

    def test_the_credentials_file_says_it_where_nothing_is_given(self) -> None:
        options = s3_options(self.FILE, bucket_name=None, endpoint_url=None, region_name=None)
        assert (options.bucket_name, options.endpoint_url, options.region_name) == ("its", "https://its", "its-region")
        assert options.fallback_credentials == StaticCredentials("key", "secret")

    def test_what_is_given_wins(self) -> None:
        options = s3_options(self.FILE, bucket_name="my", endpoint_url="https://my", region_name="mine", client="boto3")
        assert (options.bucket_name, options.endpoint_url, options.region_name) == ("my", "https://my", "mine")
        assert options.client == "boto3"

    @pytest.mark.parametrize(
        ("file", "where"), [(None, "a credentials file"), (CredentialsFile(Path("x.json")), "credentials file x.json")]
    )
    def test_without_a_bucket_the_message_says_where_to_name_one(self, file: Any, where: str) -> None:
        with pytest.raises(OptionError, match=f"^bucket_name: expected the name of a bucket.*{where}"):
            s3_options(file)

    def test_an_empty_bucket_name_is_not_silently_another_bucket(self) -> None:
        with pytest.raises(OptionError, match="^bucket_name: expected a bucket's name"):
            s3_options(self.FILE, bucket_name="")


class TestCache:
    def test_without_use_cache_the_store_stays_as_it_is(self, tmp_path: Path) -> None:
        store = MemoryStore()
        assert with_cache(store, False, tmp_path, 1_000_000) is store

    def test_with_it_the_second_reading_asks_the_store_no_more(self, tmp_path: Path) -> None:
        store = MemoryStore({"a": b"body"})
        for _ in range(2):  # a new cache each time, as in the next run of a program
            cached = with_cache(store, True, tmp_path / "cache", 1_000_000)
            assert isinstance(cached, CachedStore)
            assert cached.get("a") == b"body"
        assert store.requests_of("a") == 1

    def test_its_folder_is_the_users_cache_folder_where_none_is_given(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        with_cache(MemoryStore({"a": b"body"}), True, None, 1_000_000).get("a")
        assert any((tmp_path / "concurrent_dataloader" / "objects").rglob("*"))
