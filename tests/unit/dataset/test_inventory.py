"""S3 Inventories as input."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pyarrow
import pytest
from pyarrow import parquet

from concurrent_dataloader._base.errors import FileFormatError, MissingFileError, ObjectNotFound, OptionError
from concurrent_dataloader.dataset.inventory import Inventory, LocalInventory, StoredInventory
from concurrent_dataloader.storage import MemoryStore, ObjectInfo

SCHEMA = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size"
PLACE = "inventories/source/daily"


def gzipped(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows)
    return gzip.compress(text.getvalue().encode())


def row(key: str, size: str = "1", latest: str = "true", marker: str = "false") -> list[str]:
    return ["source", quote_plus(key, safe="/"), "v1", latest, marker, size]


def manifest(files: dict[str, bytes], /, **changes: Any) -> bytes:
    entries = [
        {"key": f"{PLACE}/data/{name}", "size": len(body), "MD5checksum": hashlib.md5(body).hexdigest()}
        for name, body in files.items()
    ]
    content = {
        "sourceBucket": "source",
        "destinationBucket": "arn:aws:s3:::inventories",
        "version": "2016-11-30",
        "fileFormat": "CSV",
        "fileSchema": SCHEMA,
        "files": entries,
    }
    return json.dumps(content | changes).encode()


def stored(files: dict[str, bytes], /, **changes: Any) -> Inventory:
    objects = {f"{PLACE}/data/{name}": body for name, body in files.items()}
    objects[f"{PLACE}/2026-11-01T01-00Z/manifest.json"] = manifest(files, **changes)
    return Inventory(StoredInventory(MemoryStore(objects), f"{PLACE}/2026-11-01T01-00Z/manifest.json"))


def test_all_files_are_read_with_sizes() -> None:
    inventory = stored({"1.csv.gz": gzipped([row("b", "20"), row("a", "10")]), "2.csv.gz": gzipped([row("c", "30")])})
    assert list(inventory.objects()) == [ObjectInfo("b", 20), ObjectInfo("a", 10), ObjectInfo("c", 30)]


def test_keys_are_decoded_whether_a_space_is_a_plus_or_a_percent() -> None:
    keys = ["a b+c", "ü/😀", 'quote"and,comma', "100%25"]
    for encode in (quote_plus, quote):
        rows = [["source", encode(key, safe="/"), "v", "true", "false", "1"] for key in keys]
        assert [each.key for each in stored({"1.csv.gz": gzipped(rows)}).objects()] == keys


def test_old_versions_delete_markers_and_markers_of_folders_are_left_out() -> None:
    rows = [row("now"), row("old", latest="false"), row("gone", "", marker="true"), row("folder/")]
    assert [each.key for each in stored({"1.csv.gz": gzipped(rows)}).objects()] == ["now"]


def test_columns_are_taken_where_the_schema_has_them() -> None:
    inventory = stored({"1.csv.gz": gzipped([["7", "source", "k"]])}, fileSchema="Size, Bucket, Key")
    assert list(inventory.objects()) == [ObjectInfo("k", 7)]
    unsized = stored({"1.csv.gz": gzipped([["source", "k"]])}, fileSchema="Bucket, Key")
    assert list(unsized.objects()) == [ObjectInfo("k", -1)]


def test_only_keys_below_the_prefix_are_taken() -> None:
    inventory = stored({"1.csv.gz": gzipped([row("train/1"), row("val/1")])})
    assert [each.key for each in inventory.objects("val/")] == ["val/1"]


@pytest.mark.parametrize("place", ["", "data", "../data"])
def test_a_copy_on_local_disk_is_found_where_it_may_lie(tmp_path: Path, place: str) -> None:
    files = {"1.csv.gz": gzipped([row("a")])}
    folder = tmp_path / "2026-11-01T01-00Z"
    folder.mkdir()
    (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / place / "1.csv.gz").write_bytes(files["1.csv.gz"])
    (folder / "manifest.json").write_bytes(manifest(files))
    assert list(Inventory(LocalInventory(folder / "manifest.json")).objects()) == [ObjectInfo("a", 1)]


def test_a_data_file_that_is_not_there_is_named_with_the_places_looked_at(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(manifest({"1.csv.gz": b""}))
    with pytest.raises(MissingFileError, match=r"manifest\.json names the data file .*1\.csv\.gz.*/data/1\.csv\.gz"):
        list(Inventory(LocalInventory(tmp_path / "manifest.json")).objects())


def test_a_manifest_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"no inventory manifest .*nowhere\.json"):
        Inventory(LocalInventory(tmp_path / "nowhere.json"))
    with pytest.raises(ObjectNotFound, match="nowhere"):
        Inventory(StoredInventory(MemoryStore(), "nowhere.json"))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sourceBucket": None}, "'sourceBucket' is None; expected a string"),
        ({"fileFormat": "ORC"}, "fileFormat is 'ORC'; expected CSV or Parquet"),
        ({"fileSchema": "Bucket, Size"}, "fileSchema has no column Key"),
        ({"files": []}, "files is list; expected a list of at least one"),
        ({"files": [{"size": 1}]}, "files, entry 0"),
    ],
)
def test_what_is_wrong_with_a_manifest_is_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(FileFormatError, match=named):
        stored({"1.csv.gz": b""}, **changes)


def test_another_json_file_is_no_manifest(tmp_path: Path) -> None:
    for content, named in (("[1]", "does not hold a JSON object"), ("{", "is no JSON")):
        (tmp_path / "manifest.json").write_text(content)
        with pytest.raises(FileFormatError, match=named):
            Inventory(LocalInventory(tmp_path / "manifest.json"))


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"Bucket,Key", "damaged data file"),
        (gzipped([row("a")])[:-9], "damaged data file"),
        (gzipped([row("a"), ["source", "b"]]), "row 2 has 2 fields; expected 6"),
        (gzipped([row("a", latest="yes")]), "row 1 has 'yes'; expected true or false"),
        (gzipped([row("a", size="1e3")]), "row 1 has the size '1e3'"),
    ],
    ids=["no gzip", "cut", "too few fields", "no truth value", "no size"],
)
def test_what_is_wrong_with_a_data_file_is_named(body: bytes, named: str) -> None:
    with pytest.raises(FileFormatError, match=rf"1\.csv\.gz.*{named}"):
        list(stored({"1.csv.gz": body}).objects())


def test_a_data_file_that_is_another_than_the_manifest_means_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(manifest({"1.csv.gz": gzipped([row("a")])}))
    (tmp_path / "1.csv.gz").write_bytes(gzipped([row("b")]))
    with pytest.raises(FileFormatError, match=r"1\.csv\.gz has the MD5"):
        list(Inventory(LocalInventory(tmp_path / "manifest.json")).objects())


def test_an_inventory_of_another_bucket_is_refused() -> None:
    inventory = stored({"1.csv.gz": b""})
    inventory.check_bucket("source")
    with pytest.raises(OptionError, match=r"an inventory of s3://source; expected one of s3://mine"):
        inventory.check_bucket("mine")


PARQUET_SCHEMA = (
    "message s3.inventory { required binary bucket (UTF8); required binary key (UTF8); "
    "optional boolean is_latest; optional boolean is_delete_marker; optional int64 size; }"
)


def test_parquet_without_pyarrow_is_an_error_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    inventory = stored({"1.parquet": b"PAR1"}, fileFormat="Parquet", fileSchema=PARQUET_SCHEMA)
    with pytest.raises(OptionError, match=r"needs pyarrow: pip install pyarrow.*extra 'parquet'"):
        list(inventory.objects())


def in_parquet(columns: dict[str, list[Any]]) -> Inventory:
    file = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), file)
    return stored({"1.parquet": file.getvalue()}, fileFormat="Parquet", fileSchema=PARQUET_SCHEMA)


def test_parquet_files_are_read_without_decoding_keys() -> None:
    inventory = in_parquet(
        {
            "bucket": ["source"] * 4,
            "key": ["a%20b", "old", "gone", "c"],
            "is_latest": [True, False, True, None],
            "is_delete_marker": [False, False, True, None],
            "size": [5, 1, None, None],
        }
    )
    assert list(inventory.objects()) == [ObjectInfo("a%20b", 5), ObjectInfo("c", -1)]


def test_a_parquet_file_of_keys_alone_is_read() -> None:
    assert list(in_parquet({"Key": ["b", "a"]}).objects()) == [ObjectInfo("b", -1), ObjectInfo("a", -1)]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"bucket": ["source"]}, r"expected a column 'key', got bucket"),
        ({"key": ["a", None]}, r"column 'key' holds None; expected strings"),
        ({"key": [5]}, r"column 'key' holds 5; expected strings"),
        ({"key": ["a"], "size": ["big"]}, r"column 'size' holds 'big'; expected whole numbers"),
    ],
)
def test_a_parquet_file_with_other_columns_is_named_with_what_was_expected(
    columns: dict[str, list[Any]], message: str
) -> None:
    with pytest.raises(FileFormatError, match=rf"data/1\.parquet.*: {message}"):
        list(in_parquet(columns).objects())


def test_a_damaged_parquet_file_is_named() -> None:
    inventory = stored({"1.parquet": b"PAR1"}, fileFormat="Parquet", fileSchema=PARQUET_SCHEMA)
    with pytest.raises(FileFormatError, match=r"1\.parquet is a damaged data file"):
        list(inventory.objects())
