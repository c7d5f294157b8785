"""Any arguments of `get_dataset` and any URI of a store give a dataset, or an error that names the argument.

No error shows a secret that was in the URI, nor does one that it was raised from.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
from pathlib import Path

import pytest
from aws_environment import isolate_aws
from fuzzing import ANYTHING, FUZZ, SECRET
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pictures import plain

from benchmarking.endpoint import S3Endpoint
from benchmarking.misc.init_benchmarking import get_dataset
from concurrent_dataloader import S3Dataset
from concurrent_dataloader._base.errors import ConcurrentDataLoaderError, OptionError
from concurrent_dataloader.dataset import ObjectDataset
from concurrent_dataloader.dataset.store_uri import open_store
from concurrent_dataloader.storage import LocalStore, S3Options, S3Store

KEYS = ["train/cat_1.png", "train/dog_2.png"]
FILES = {
    "index-s3-train.json": KEYS,
    "index-scratch-train.json": KEYS,
    "imagenet-train-classes.json": {"cat": {"id": 1}, "dog": {"id": 2}},
    "s3_credentials.json": {"access_key": "key", "secret": SECRET, "bucket_name": "imagenet"},
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: pictures, an index, classes and credentials under the usual names."""
    isolate_aws(monkeypatch, tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train").mkdir()
    for number, key in enumerate(KEYS):
        (tmp_path / key).write_bytes(plain(number))
    for name, content in FILES.items():
        (tmp_path / name).write_text(json.dumps(content))
        os.chmod(name, 0o600)
    return tmp_path


def result_of(make, given):
    """Returns what is made; or None, after a look at the error: its type, what it names, and what it must not show."""
    try:
        return make()
    except ConcurrentDataLoaderError as refusal:
        error = refusal
    message = str(error)
    assert any(name in message for name in given) or any(
        isinstance(value, str) and value and value in message for value in given.values()
    ), message
    while error is not None:
        assert SECRET not in f"{error!r}{getattr(error, '__notes__', '')}"
        error = error.__cause__ or error.__context__
    return None


def with_valid(**valid):
    """Some of the arguments, each with a value that is right, or with any."""
    return st.fixed_dictionaries(
        {}, optional={name: st.one_of(st.sampled_from(values), ANYTHING) for name, values in valid.items()}
    )


SAMPLES = {
    "dataset_type": ["train", "val", "test"],
    "limit": [1, None],
    "use_cache": [True, False],
    "index_file": ["index-s3-train.json", "train", "none.json", "\x00", "x" * 300, Path("index-s3-train.json")],
    "classes_file": ["imagenet-train-classes.json", "train", None, "\ud800"],
    "s3_credential_file": ["s3_credentials.json", None, "none.json", "/", "\x00"],
    "transform": [len],
    "target_transform": [str],
    "decoder": ["pil", "torchvision", len],
    "decode_in": ["process", "fetch"],
    "class_id_base": [0, 1, None],
    "cache_dir": ["own-cache", None],
    "cache_max_bytes": [10**6],
}
OF_S3 = {
    "bucket_name": ["bucket", "a/b", f"key:{SECRET}@bucket"],
    "endpoint_url": ["https://127.0.0.1:1", f"https://key:{SECRET}@127.0.0.1", f"https://host?signature={SECRET}"],
    "region_name": ["eu-west-1"],
    "client": ["obstore", "boto3", "aiobotocore"],
    "unsigned": [True, False],
    "addressing_style": ["auto", "path", "virtual", None],
    "ca_bundle": ["s3_credentials.json", None],
}


@FUZZ
@given(options=with_valid(**SAMPLES, local_path=[".", None, "none", "\x00"]))
@example(options={"index_file": 0})
@example(options={"local_path": 5})
@example(options={"transform": "none"})
@example(options={"cache_dir": 5, "use_cache": True})
def test_get_dataset_of_files_gives_a_dataset_or_an_error_that_names_the_argument(options):
    dataset = result_of(lambda: get_dataset("scratch", **options), options)
    if dataset is not None:
        assert len(dataset) in (1, 2)
        assert SECRET not in repr(dataset.store) or isinstance(dataset.store, LocalStore)  # a path is no secret
        if not {"decoder", "transform", "target_transform"} & options.keys():
            with contextlib.suppress(ConcurrentDataLoaderError):
                dataset[0]


@FUZZ
@given(options=with_valid(**SAMPLES, **OF_S3))
@example(options={"endpoint_url": f"key:{SECRET}@host"})
@example(options={"endpoint_url": f"https://key:{SECRET}"})
@example(options={"endpoint_url": f"https://key:{SECRET}\u2100@host"})
@example(options={"region_name": 5})
def test_get_dataset_of_s3_gives_a_dataset_or_an_error_that_names_the_argument(options):
    dataset = result_of(lambda: get_dataset("s3", **options), options)
    if dataset is not None:
        assert len(dataset) in (1, 2)
        assert SECRET not in repr(dataset.store)
        assert dataset.describe(0) == KEYS[0]


@FUZZ
@given(name=ANYTHING)
def test_get_dataset_refuses_any_other_name(name):
    assume(name not in ("s3", "scratch"))
    with pytest.raises(OptionError, match="^dataset: expected one of 's3', 'scratch'"):
        get_dataset(name)


SCHEMES = ["s3", "gs", "az", "https", "http", "file", "S3", "HTTP", "ftp", "s3a", ""]
USERS = ["", "", f"key:{SECRET}@", f"{SECRET}@", f"key:{SECRET}\u2100@"]  # the last is no host after normalisation
HOSTS = ["bucket", "", "[", "[::1", "127.0.0.1:1", "127.0.0.1:99999", f"host:{SECRET}", ":", "a b", "ü", "a\nb", "%41"]
TAILS = ["", "", f"?X-Amz-Signature={SECRET}", f"?sv=1&sig={SECRET}", f"#{SECRET}"]
URIS = st.one_of(
    st.text(max_size=30),
    st.builds(
        "{}{}{}{}{}{}".format,
        st.sampled_from(SCHEMES),
        st.sampled_from(["://", "://", "://", ":///", ":/", ":", ""]),
        st.sampled_from(USERS),
        st.sampled_from(HOSTS),
        st.one_of(st.just("/prefix"), st.text(max_size=8), st.text(max_size=8).map(lambda text: f"/{text}")),
        st.sampled_from(TAILS),
    ),
)
REACHED = {name: OF_S3[name] for name in OF_S3 if name != "bucket_name"} | {"account_name": ["account"]}


@FUZZ
@given(uri=st.one_of(URIS, ANYTHING), options=with_valid(**REACHED))
@example(uri=f"s3://key:{SECRET}@bucket/prefix", options={})
@example(uri=f"s3:///prefix?X-Amz-Signature={SECRET}", options={})
@example(uri=f"az://container/prefix?sv=1&sig={SECRET}", options={})
@example(uri=f"gs://key:{SECRET}@bucket", options={})
@example(uri=f"https://host/path#{SECRET}", options={})
@example(uri=f"https://host:{SECRET}/path", options={})
@example(uri=f"file://key:{SECRET}@host/path?token={SECRET}", options={})
@example(uri=f"bucket?X-Amz-Signature={SECRET}", options={})
def test_a_uri_opens_a_store_or_is_refused_without_its_secrets(uri, options):
    given = {**options, "uri": uri}
    opened = result_of(lambda: open_store(uri, **options), given)
    if opened is not None:
        store, prefix = opened
        assert not prefix or prefix.endswith("/")
        assert SECRET not in f"{store!r}{store.describe(prefix)}" or f"#{SECRET}" in prefix  # a key may hold a "#"
        again = pickle.loads(pickle.dumps(store))
        assert again.describe("key") == store.describe("key")
    result_of(lambda: S3Dataset.from_prefix(uri, suffix=5), {**given, "suffix": 5})  # refused before it lists


@FUZZ
@given(
    uri=URIS,
    options=with_valid(
        **{name: SAMPLES[name] for name in SAMPLES if name not in ("dataset_type", "index_file")},
        class_folders=[True, False],
        suffix=[".png", None],
        index_file=["index-s3-train.json", "index-scratch-train.json"],
    ),
)
@example(uri="s3://bucket/train", options={})
def test_a_dataset_from_any_uri_and_index_is_made_or_refused(uri, options):
    options = {"index_file": "index-s3-train.json", **options}
    assume(options["index_file"] is not None)  # None would list, which the next test does
    dataset = result_of(lambda: ObjectDataset.from_uri(uri, **options), {**options, "uri": uri})
    if dataset is not None:
        assert 1 <= len(dataset) <= 2
        assert SECRET not in repr(dataset.store) or isinstance(dataset.store, LocalStore)  # a path is no secret


@pytest.fixture(scope="module")
def endpoint():
    with S3Endpoint({key: plain(1) for key in KEYS}, bucket="bucket") as running:
        yield running


BUCKETS = st.one_of(st.just("bucket"), st.sampled_from(HOSTS), st.text(max_size=8))


@FUZZ
@given(
    bucket=BUCKETS,
    prefix=st.one_of(st.sampled_from(["", "train", "train/"]), st.text(max_size=8)),
    options=with_valid(region_name=["us-east-1", "a b"], addressing_style=["path", "auto"], suffix=[".png", None]),
)
@example(bucket="bucket", prefix="train", options={})
@example(bucket="bucket", prefix="train", options={"region_name": "a b"})
@example(bucket="b", prefix="", options={})
def test_a_listing_of_any_bucket_gives_its_keys_or_an_error_that_names_the_place(endpoint, bucket, prefix, options):
    uri = f"s3://{bucket}/{prefix}"
    options = {"endpoint_url": endpoint.url, **options}
    named = {**options, "uri": uri, "bucket_name": bucket, "place": f"s3://{bucket}"}
    dataset = result_of(lambda: ObjectDataset.from_uri(uri, client="boto3", **options), named)
    if dataset is not None:
        assert list(dataset.keys) == KEYS
        assert dataset[0].size == (4, 4)


@FUZZ
@given(
    bucket=BUCKETS,
    key=st.one_of(st.sampled_from(KEYS), st.text(max_size=8)),
    options=with_valid(client=["obstore", "boto3"], region_name=["us-east-1"], addressing_style=["path", "auto"]),
)
@example(bucket="bucket", key="\ud800", options={"client": "obstore"})
@example(bucket="bucket", key="\ud800", options={"client": "boto3"})
@example(bucket="bucket", key="../bucket", options={"client": "obstore"})
@example(bucket="bucket", key="", options={"client": "boto3"})
def test_a_read_of_any_key_of_any_bucket_gives_its_object_or_an_error_that_names_it(endpoint, bucket, key, options):
    def read():
        return S3Store(S3Options(bucket, endpoint.url, max_attempts=1, deadline_s=10.0, **options)).get(key)

    body = result_of(read, {**options, "bucket_name": bucket, "key": key})
    assert body is None or (bucket == "bucket" and key in KEYS and body == plain(1))
