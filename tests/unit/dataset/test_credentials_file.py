"""The credentials file: both spellings, what is refused, and no secret in any message, log or repr."""

from __future__ import annotations

import json
import logging
import traceback
from pathlib import Path
from typing import Any

import pytest

from concurrent_dataloader._base.errors import CredentialsFileError, MissingFileError
from concurrent_dataloader.dataset.credentials_file import CredentialsFile, download_entry, load_credentials_file
from concurrent_dataloader.storage import StaticCredentials

KEYS = {"access_key": "some-key", "secret": "top-secret"}
PRESIGNED = "https://host/index.json?X-Amz-Signature=top-secret"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s3.json"


def loaded(path: Path, entries: Any) -> CredentialsFile:
    path.write_text(entries if isinstance(entries, str) else json.dumps(entries))
    return load_credentials_file(path)


@pytest.mark.parametrize("names", [("access_key", "secret"), ("aws_access_key_id", "aws_secret_access_key")])
def test_both_spellings_of_the_key_pair_are_read(path: Path, names: tuple[str, str]) -> None:
    file = loaded(path, dict(zip(names, ("some-key", "top-secret"), strict=True)))
    assert file == CredentialsFile(path, StaticCredentials("some-key", "top-secret"))


def test_every_documented_entry_is_read(path: Path) -> None:
    urls = {
        f"{split}_{kind}_file_download_url": f"https://host/{split}-{kind}.json"
        for split in ("train", "val", "test")
        for kind in ("index", "classes")
    }
    place = {"bucket_name": "my-bucket", "endpoint_url": "https://host:9000", "region_name": "eu-west-1"}
    file = loaded(path, {"aws_access_key_id": "some-key", "aws_secret_access_key": "top-secret", **place, **urls})
    assert (file.bucket_name, file.endpoint_url, file.region_name) == tuple(place.values())
    assert file.download_urls == urls
    assert download_entry("val", "classes") in urls


def test_the_keys_may_be_left_out_where_a_place_is_named(path: Path) -> None:
    assert loaded(path, {"bucket_name": "my-bucket"}) == CredentialsFile(path, bucket_name="my-bucket")


def test_null_counts_as_not_there(path: Path) -> None:
    assert loaded(path, {**KEYS, "endpoint_url": None, "bucket_name": None}).endpoint_url is None


def test_entries_that_are_not_known_are_named_in_a_warning_without_their_values(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "concurrent_dataloader"):
        loaded(path, {**KEYS, "bucket": "top-secret", "train_index_url": PRESIGNED})
    assert "entries that are not known are not used: bucket, train_index_url" in caplog.text
    assert "top-secret" not in caplog.text


def test_no_secret_shows_in_the_repr(path: Path) -> None:
    file = loaded(path, {**KEYS, "train_index_file_download_url": PRESIGNED})
    assert "some-key" in repr(file)
    assert "top-secret" not in repr(file)


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(MissingFileError, match=f"there is no file {path}"):
        load_credentials_file(path)


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ({}, "none of the known entries"),
        ({"something": "top-secret"}, "none of the known entries"),
        ({"access_key": "top-secret"}, "has 'access_key' but no entry 'secret'"),
        ({"secret": "top-secret"}, "has 'secret' but no entry 'access_key'"),
        ({"aws_access_key_id": "top-secret"}, "has 'aws_access_key_id' but no entry 'aws_secret_access_key'"),
        ({"access_key": "key", "secret": ["top-secret"]}, "entry 'secret' is list; expected a non-empty string"),
        ({"access_key": "", "secret": "top-secret"}, "entry 'access_key' is an empty string"),
        ({**KEYS, "train_index_file_download_url": 3}, "entry 'train_index_file_download_url' is int"),
        ({**KEYS, "endpoint_url": "https://key:top-secret@host"}, "entry endpoint_url: expected https://host"),
        ({**KEYS, "endpoint_url": PRESIGNED}, "entry endpoint_url: expected https://host"),
        ({**KEYS, "endpoint_url": "host:9000"}, "entry endpoint_url: expected https://host"),
        ({**KEYS, "bucket_name": "bucket/top-secret"}, "entry bucket_name: expected a bucket's name"),
        (["top-secret"], "does not hold a JSON object"),
        ('{"access_key": "key", "secret": "top-secret"', "is not JSON at byte 44"),
        ('{"secret": "top-secret", "secret": "top-secret"}', "2 entries are named 'secret'"),
    ],
)
def test_what_is_wrong_is_named_with_the_file_and_without_a_secret(path: Path, entries: Any, problem: str) -> None:
    with pytest.raises(CredentialsFileError) as caught:
        loaded(path, entries)
    assert str(caught.value).startswith(str(path))
    assert problem in str(caught.value)
    shown = "".join(traceback.format_exception(caught.value, limit=0))
    assert "top-secret" not in shown


@pytest.mark.parametrize(
    "entries",
    [
        {"access_key": "key", "secret": "the-secret"},
        {"val_index_file_download_url": "https://host/index.json?X-Amz-Signature=the-secret"},
    ],
    ids=["keys", "presigned-url"],
)
def test_a_file_whose_keys_others_may_read_is_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, entries: dict[str, str]
) -> None:
    path = tmp_path / "credentials.json"
    path.write_text(json.dumps(entries))
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            load_credentials_file(path)
    [record] = caplog.records
    assert record.getMessage() == f"{path} holds a secret and other users may read it (mode 644): chmod 600 it"


@pytest.mark.parametrize(
    ("entries", "mode"),
    [
        ({"access_key": "key", "secret": "the-secret"}, 0o600),
        ({"bucket_name": "bucket", "train_index_file_download_url": "https://host/index.json"}, 0o644),
    ],
    ids=["private", "without-keys"],
)
def test_a_file_that_is_private_or_holds_no_keys_is_not_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, entries: dict[str, str], mode: int
) -> None:
    path = tmp_path / "credentials.json"
    path.write_text(json.dumps(entries))
    path.chmod(mode)
    with caplog.at_level(logging.WARNING):
        load_credentials_file(path)
    assert caplog.records == []
