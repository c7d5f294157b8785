"""Whatever stands in a file, a URL or an argument is taken, or refused by an error of ours."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from fuzzing import ANYTHING, FUZZ, JSON, SCALARS, SECRET, arguments
from hypothesis import example, given
from hypothesis import strategies as st

from concurrent_dataloader import DataLoader
from concurrent_dataloader._base.errors import ConcurrentDataLoaderError, OptionError, StorageError
from concurrent_dataloader._base.options import FetchOptions
from concurrent_dataloader.dataset import download as download_module
from concurrent_dataloader.dataset.classes import load_classes
from concurrent_dataloader.dataset.credentials_file import load_credentials_file
from concurrent_dataloader.dataset.download import download
from concurrent_dataloader.dataset.index_file import load_index
from concurrent_dataloader.storage.options import S3Options, StaticCredentials

TRAIN = {"n02119789": {"id": 1, "name": "kit_fox"}, "n02100735": {"id": 2, "name": "English_setter"}}
VAL = {"0": 490, "1": 361, "2": 1}
CREDENTIALS = {
    "aws_access_key_id": "AKIA0",
    "aws_secret_access_key": SECRET,
    "bucket_name": "imagenet",
    "endpoint_url": "https://s3.example.org",
    "train_index_file_download_url": f"https://example.org/index.json?signature={SECRET}",
}
INDEX = ["train/n01440764/n01440764_10026.JPEG", "ä b/ü.png", 'quote"d\\', "😀"]


def damaged(valid):
    """A valid file with some bytes replaced, cut off or put in; or other values in its places; or anything at all."""
    body = json.dumps(valid).encode()
    cuts = st.tuples(st.integers(0, len(body)), st.integers(0, 3), st.binary(max_size=3))
    spoilt = cuts.map(lambda cut: body[: cut[0]] + cut[2] + body[cut[0] + cut[1] :])
    texts = st.one_of(_replaced(valid), JSON).map(lambda value: json.dumps(value).encode())
    return st.one_of(spoilt, texts, st.binary(max_size=60))


def _replaced(valid):
    if isinstance(valid, list):
        return st.lists(st.one_of(st.sampled_from(valid), SCALARS), max_size=6)
    places = st.one_of(st.sampled_from(sorted(valid)), st.text(max_size=6))
    harmless = [value for value in valid.values() if SECRET not in str(value)]  # a secret stays in its place
    values = st.one_of(st.sampled_from(harmless), JSON)
    return st.dictionaries(places, values, max_size=5).map(lambda changes: {**valid, **changes})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.json"


def _is_taken_or_refused(act, path, body):
    path.write_bytes(body)
    try:
        return act(path)
    except ConcurrentDataLoaderError as refusal:
        error = refusal
    assert str(path) in str(error)
    assert SECRET not in f"{error!r}{error.__cause__!r}{error.__context__!r}"
    return None


@FUZZ
@given(
    body=st.one_of(damaged(TRAIN), damaged(VAL)), key=st.text(max_size=20), base=st.one_of(st.none(), st.integers(0, 2))
)
@example(body=b'{"a": {"id": 1e400}}', key="a_1", base=None)
@example(body=b'{"1": NaN}', key="a_1", base=None)
@example(body=b"[" * 100_000, key="a_1", base=None)
def test_a_classes_file_is_taken_or_refused(path, body, key, base):
    classes = _is_taken_or_refused(lambda file: load_classes(file, base), path, body)
    if classes is not None:
        with contextlib.suppress(ConcurrentDataLoaderError):
            assert classes.target_of(key) >= 0


@FUZZ
@given(body=damaged(CREDENTIALS))
def test_a_credentials_file_is_taken_or_refused_and_its_secrets_are_shown_neither_way(path, body):
    file = _is_taken_or_refused(load_credentials_file, path, body)
    assert SECRET not in repr(file)


@FUZZ
@given(body=damaged(INDEX))
@example(body=b'["\\ud800"]')
@example(body=b'["a", ["b"]]')
@example(body=b'["a' + b"\x00" + b'"]')
def test_an_index_file_is_taken_or_refused(path, body):
    keys = _is_taken_or_refused(load_index, path, body)
    if keys is not None:
        assert all(isinstance(key, str) for key in keys)


AUTHORITIES = st.sampled_from(
    ["", "[", "[::1", "127.0.0.1:1", "127.0.0.1:99999", "127.0.0.1:x", "a:b@127.0.0.1:1", ":"]
)
URLS = st.one_of(
    st.text(max_size=30),
    st.builds(
        "{}://{}/{}".format,
        st.sampled_from(["http", "https", "s3", "file", "ftp", "HTTP", "data", ""]),
        AUTHORITIES,
        st.text(max_size=12),
    ),
)


@FUZZ
@given(url=URLS)
@example(url=None)
@example(url=b"http://127.0.0.1")
@example(url="http://127.0.0.1:1/\r\nHost: elsewhere")
def test_an_endpoint_url_is_taken_or_refused(url):
    with contextlib.suppress(OptionError):
        S3Options("bucket", url)


@FUZZ
@given(url=URLS)
@example(url="http://127.0.0.1:1/\r\nHost: elsewhere")
@example(url="file:///\x00")
@example(url="https://127.0.0.1:1/ü ?x=%%%")
def test_a_download_url_is_fetched_or_refused_and_no_file_appears_by_halves(path, monkeypatch, url):
    monkeypatch.setattr(download_module, "_MAX_ATTEMPTS", 1)

    def read_s3(bucket, key):
        raise StorageError(f"no bucket {bucket!r}")

    target = path.with_name("downloaded.json")
    with contextlib.suppress(ConcurrentDataLoaderError):
        download(url, target, check=load_index, read_s3=read_s3)
    assert not list(path.parent.iterdir())


@FUZZ
@given(
    options=arguments(
        "num_fetch_workers",
        "fetch_impl",
        "batch_pool",
        "on_error",
        "max_error_rate",
        "hedging",
        "stall_timeout",
    )
)
@example(options={"num_fetch_workers": [1]})
@example(options={"fetch_impl": ["threaded"]})
@example(options={"max_error_rate": float("nan")})
@example(options={"stall_timeout": 10**400})
def test_a_loaders_options_are_taken_or_refused_before_anything_runs(options):
    with contextlib.suppress(OptionError):
        FetchOptions(**options)
        DataLoader([1, 2, 3], **options)


@FUZZ
@given(
    bucket=ANYTHING,
    options=arguments(
        "endpoint_url",
        "region_name",
        "client",
        "fallback_credentials",
        "unsigned",
        "max_concurrency",
        "connect_timeout_s",
        "read_timeout_s",
        "deadline_s",
        "max_attempts",
        "ca_bundle",
    ),
)
@example(bucket="bucket", options={"client": ["boto3"]})
@example(bucket="bucket", options={"ca_bundle": "\x00"})
@example(bucket="bucket", options={"ca_bundle": 1.5})
@example(bucket="bucket", options={"deadline_s": 10**400})
def test_a_stores_options_are_taken_or_refused(bucket, options):
    with contextlib.suppress(OptionError):
        S3Options(bucket, **options)


@FUZZ
@given(values=st.tuples(ANYTHING, ANYTHING, ANYTHING))
def test_a_key_pair_is_taken_or_refused(values):
    with contextlib.suppress(OptionError):
        assert SECRET not in repr(StaticCredentials(str(values[0]), SECRET, None))
        StaticCredentials(*values)
