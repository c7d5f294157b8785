"""``concurrent-dataloader index``, on local folders and on our endpoint."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from aws_environment import isolate_aws
from fake_azure import FakeAzure
from provider_environment import isolate_providers

from benchmarking.endpoint import S3Endpoint
from concurrent_dataloader.command_line.main import main
from concurrent_dataloader.dataset import load_index
from concurrent_dataloader.dataset.key_index import KeyIndex
from concurrent_dataloader.storage import S3Options, S3Store

TREE = {
    f"data/{split}/n{label}/{at}.JPEG": b"12" for split in ("train", "val") for label in range(3) for at in range(2)
}
TREE |= {"data/train/readme.txt": b"1", "data-old/train/x.JPEG": b"1", "data/train/n0/": b""}
INVENTORY_ROWS = (
    b'"bucket","data/train/n0/0.JPEG","2"\n"bucket","data/train/n%C3%BC/1.JPEG","3"\n"bucket","data/a","4"\n'
)


@pytest.fixture(scope="module")
def running() -> Iterator[S3Endpoint]:
    data = gzip.compress(INVENTORY_ROWS)
    manifest = {
        "sourceBucket": "bucket",
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key, Size",
        "files": [{"key": "inv/data/1.csv.gz", "MD5checksum": hashlib.md5(data).hexdigest()}],
    }
    objects = TREE | {"inv/data/1.csv.gz": data, "inv/now/manifest.json": json.dumps(manifest).encode()}
    with S3Endpoint(objects, bucket="bucket") as endpoint:
        yield endpoint


@pytest.fixture
def endpoint(running: S3Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> S3Endpoint:
    isolate_aws(monkeypatch, tmp_path)
    return running


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for key, body in TREE.items():
        if not key.endswith("/"):
            (tmp_path / "tree" / key).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "tree" / key).write_bytes(body)
    return tmp_path / "tree"


def keys_of(path: Path) -> list[str]:
    return list(load_index(path))


def test_a_prefix_of_a_bucket_is_indexed_as_a_folder(
    endpoint: S3Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "index.json"
    assert main(["index", "s3://bucket/data", "-o", str(output), "--endpoint-url", endpoint.url]) == 0
    expected = sorted(key for key in TREE if key.startswith("data/") and not key.endswith("/"))
    assert keys_of(output) == expected
    assert capsys.readouterr() == (f"{output}: {len(expected)} keys\n", "")


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAzure]:
    isolate_providers(monkeypatch)
    with FakeAzure() as server:
        server.blobs |= TREE
        yield server


@pytest.mark.parametrize("scheme", ["gs", "az"])
def test_other_providers_are_indexed_with_the_same_options(
    scheme: str, endpoint: S3Endpoint, azure: FakeAzure, tmp_path: Path
) -> None:
    location, how = f"{scheme}://bucket/data", ["--endpoint-url", endpoint.url]
    if scheme == "az":
        location, how = "az://container/data", ["--endpoint-url", azure.url, "--account-name", "account"]
    output = tmp_path / "index.jsonl"
    assert main(["index", location, "-o", str(output), "--split", "--suffix", ".JPEG", *how]) == 0
    for split in ("train", "val"):
        index = load_index(tmp_path / f"index-{split}.jsonl")
        assert list(index) == sorted(key for key in TREE if key.startswith(f"data/{split}/n") and key[-1] != "/")
        assert {index.size_of(at) for at in range(len(index))} == {2}
    assert main(["index", location, "-o", str(output), "--include", "*/n1/*", "--limit", "3", *how]) == 0
    assert keys_of(output) == ["data/train/n1/0.JPEG", "data/train/n1/1.JPEG", "data/val/n1/0.JPEG"]
    index, objects = str(tmp_path / "index-val.jsonl"), str(tmp_path / "objects")
    assert main(["check", index, location, "--no-decode", *how]) == 0
    assert main(["cache", "warm", index, location, "--cache-dir", objects, *how]) == 0


def test_a_local_folder_may_be_a_uri(tree: Path, tmp_path: Path) -> None:
    output = tmp_path / "index.json"
    assert main(["index", (tree / "data" / "val").as_uri(), "-o", str(output), "--limit", "1"]) == 0
    assert keys_of(output) == ["n0/0.JPEG"]


def test_sizes_are_kept(endpoint: S3Endpoint, tmp_path: Path) -> None:
    output = tmp_path / "index.jsonl"
    main(["index", "s3://bucket/data/val", "-o", str(output), "--endpoint-url", endpoint.url, "--limit", "1"])
    assert output.read_text() == '{"key": "data/val/n0/0.JPEG", "size": 2}\n'


def test_a_local_folder_is_indexed_relative_to_itself(tree: Path, tmp_path: Path) -> None:
    output = tmp_path / "index.json"
    assert main(["index", str(tree / "data/val"), "-o", str(output)]) == 0
    assert keys_of(output) == [f"n{label}/{at}.JPEG" for label in range(3) for at in range(2)]


def test_an_index_within_the_folder_does_not_list_itself_however_often_it_is_made(tree: Path) -> None:
    output = tree / "index.json"
    for _ in range(2):
        assert main(["index", str(tree), "-o", str(output), "--suffix", ".json", "--suffix", ".txt"]) == 0
        assert keys_of(output) == ["data/train/readme.txt"]


def test_keys_are_chosen_by_suffix_include_exclude_and_limit(tree: Path, tmp_path: Path) -> None:
    output = tmp_path / "index.json"
    choice = ["--suffix", ".jpeg", "--include", "data/*", "--exclude", "*/n1/*", "--exclude", "*/n2/*", "--limit", "3"]
    assert main(["index", str(tree), "-o", str(output), *choice]) == 0
    assert keys_of(output) == ["data/train/n0/0.JPEG", "data/train/n0/1.JPEG", "data/val/n0/0.JPEG"]


def test_split_writes_an_index_for_each_of_the_usual_folders_that_is_there(
    endpoint: S3Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "index.json"
    where = ["--endpoint-url", endpoint.url]
    assert main(["index", "s3://bucket/data", "-o", str(output), *where, "--suffix", ".JPEG", "--split"]) == 0
    assert sorted(each.name for each in tmp_path.glob("*.json")) == ["index-train.json", "index-val.json"]
    assert all(key.startswith("data/val/") for key in keys_of(tmp_path / "index-val.json"))
    assert len(keys_of(tmp_path / "index-train.json")) == 6
    assert capsys.readouterr().err == ""


def test_a_folder_that_was_named_and_has_nothing_is_said(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["index", str(tree / "data"), "-o", str(tmp_path / "i.json"), "--split", "val,holdout"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{tmp_path / 'i-val.json'}: 6 keys\n"
    assert "i-holdout.json was not written: nothing in folder 'holdout' matches" in captured.err


def uploaded(endpoint: S3Endpoint, key: str) -> bytes:
    return S3Store(S3Options("bucket", endpoint.url)).get(key)


def test_an_index_is_uploaded_where_it_is_asked_for(
    endpoint: S3Endpoint, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "index.json"
    upload = ["--upload", "s3://bucket/meta/all.json", "--endpoint-url", endpoint.url]
    assert main(["index", str(tree), "-o", str(output), *upload]) == 0
    assert uploaded(endpoint, "meta/all.json") == output.read_bytes()
    assert "uploaded s3://bucket/meta/all.json" in capsys.readouterr().out


def test_the_indexes_of_a_split_are_uploaded_under_their_own_names(
    endpoint: S3Endpoint, tree: Path, tmp_path: Path
) -> None:
    upload = ["--upload", "s3://bucket/meta/", "--endpoint-url", endpoint.url, "--split"]
    assert main(["index", str(tree / "data"), "-o", str(tmp_path / "i.json"), *upload]) == 0
    for name in ("i-train.json", "i-val.json"):
        assert uploaded(endpoint, f"meta/{name}") == (tmp_path / name).read_bytes()


def test_an_inventory_in_a_bucket_is_indexed_in_order_below_the_location(endpoint: S3Endpoint, tmp_path: Path) -> None:
    output = tmp_path / "index.jsonl"
    inventory = ["--inventory", "s3://bucket/inv/now/manifest.json", "--endpoint-url", endpoint.url]
    assert main(["index", "-o", str(output), *inventory]) == 0
    assert keys_of(output) == ["data/a", "data/train/n0/0.JPEG", "data/train/nü/1.JPEG"]
    assert main(["index", "s3://bucket/data/train", "-o", str(output), *inventory]) == 0
    assert [json.loads(line)["size"] for line in output.read_text().splitlines()] == [2, 3]


WRONG = {
    "nothing to list": (["-o", "OUT"], "location: expected s3://bucket/prefix, another store, or a local folder"),
    "no folder": (["no/such/folder", "-o", "OUT"], "'no/such/folder' is no folder; expected s3://bucket/prefix"),
    "another scheme": (["ftp://host/path", "-o", "OUT"], "'ftp://host/path': expected s3://bucket/prefix"),
    "no bucket": (["s3:///path", "-o", "OUT"], "'s3:///path': expected"),
    "option of a bucket": (
        [".", "-o", "OUT", "--unsigned"],
        "--unsigned goes with a bucket, such as s3://bucket/prefix; '.' is a local folder",
    ),
    "endpoint": (["s3://b/p", "-o", "OUT", "--endpoint-url", "host:80"], "endpoint_url: expected https://host"),
    "limit": ([".", "-o", "OUT", "--limit", "0"], "limit: expected an integer of at least 1"),
    "split": (["-o", "OUT", "--split", "s3://bucket/p"], "--split: expected different names of folders"),
    "upload": ([".", "-o", "OUT", "--upload", "bucket/key"], "--upload: expected s3://bucket/key"),
    "upload of several": ([".", "-o", "OUT", "--split", "--upload", "s3://b/key"], "s3://bucket/folder/ for several"),
    "inventory of a folder": ([".", "-o", "OUT", "--inventory", "m.json"], "'.' is no bucket of S3"),
    "inventory of another store": (["gs://b", "-o", "OUT", "--inventory", "m.json"], "'gs://b' is no bucket of S3"),
    "unknown scheme": (["ftp://b/p", "-o", "OUT"], "'ftp://b/p': expected s3://bucket/prefix, gs://bucket/prefix, az:"),
    "no container": (["gs://", "-o", "OUT"], "uri: expected gs://bucket"),
    "option of another store": (["gs://b", "-o", "OUT", "--region", "r"], "region_name: does not go with gs://"),
    "account of no az": (["s3://b", "-o", "OUT", "--account-name", "a"], "--account-name goes with az://container"),
    "no account": (["az://c", "-o", "OUT"], "account_name: expected the storage account of az://c"),
    "web server": (["https://h/p", "-o", "OUT"], "https://h/p: a web server cannot be listed"),
    "upload beside a bucket of Google's": (["gs://b", "-o", "OUT", "--upload", "s3://b/"], "--upload: goes with s3://"),
    "file URI of nothing": (["file:///nowhere/at/all", "-o", "OUT"], "'file:///nowhere/at/all' is no folder"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_names_the_argument_and_what_was_expected(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, message = WRONG[case]
    output = str(tmp_path / "index.json")
    assert main(["index", *(output if each == "OUT" else each for each in arguments)]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_nothing_that_matches_is_an_error_and_the_old_index_stays(
    endpoint: S3Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "index.json"
    output.write_text("old")
    where = ["--endpoint-url", endpoint.url]
    assert main(["index", "s3://bucket/data", "-o", str(output), *where, "--suffix", ".gif"]) == 1
    message = f"concurrent-dataloader: error: no index {output} was written: nothing in s3://bucket/data/"
    assert capsys.readouterr().err.startswith(message)
    assert [each.name for each in tmp_path.iterdir()] == ["index.json"]
    assert output.read_text() == "old"


def test_a_missing_bucket_is_named(endpoint: S3Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", "s3://nobody", "-o", str(tmp_path / "i.json"), "--endpoint-url", endpoint.url]) == 1
    assert "error: s3://nobody/" in capsys.readouterr().err


def test_a_listing_that_is_interrupted_leaves_the_old_index_and_no_litter(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "index.json"
    main(["index", str(tree), "-o", str(output)])
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir() if each.is_file()}

    def interrupted(*_: object) -> KeyIndex:
        raise KeyboardInterrupt

    monkeypatch.setattr("concurrent_dataloader.dataset.index_writer._texts", interrupted)
    assert main(["index", str(tree), "-o", str(output), "--limit", "1"]) == 130
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir() if each.is_file()} == before
