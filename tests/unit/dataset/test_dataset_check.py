from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from concurrent_dataloader._base.errors import AccessDenied, OptionError, StorageTimeout
from concurrent_dataloader.dataset.classes import TrainClasses
from concurrent_dataloader.dataset.dataset_check import check_dataset, chosen_positions
from concurrent_dataloader.dataset.index_file import load_index, write_index
from concurrent_dataloader.dataset.key_index import KeyIndex
from concurrent_dataloader.storage import LocalStore, MemoryStore, ObjectInfo


def picture(size: int = 8) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (size, size)).save(file, "JPEG")
    return file.getvalue()


GOOD = picture()
CLASSES = TrainClasses(Path("classes.json"), {"cat": 0}, 0)


def kinds(report) -> dict[str, int]:
    return {finding.kind: finding.count for finding in report.findings}


def check(store, keys, **options):
    return check_dataset(store, KeyIndex.from_keys(keys), **options)


def test_whole_images_with_classes_give_a_clean_report() -> None:
    store = MemoryStore({f"cat_{number}.jpg": picture(8 * number) for number in range(1, 4)})
    report = check(store, ["cat_1.jpg", "cat_2.jpg", "cat_3.jpg"], classes=CLASSES)
    assert report.ok
    assert (report.keys, report.duplicate_keys, report.class_entries, report.sampled) == (3, 0, 1, 3)
    sizes = sorted(len(picture(8 * number)) for number in range(1, 4))
    assert (report.sizes.min_bytes, report.sizes.median_bytes, report.sizes.max_bytes) == tuple(sizes)


def test_duplicates_are_counted_and_allowed() -> None:
    report = check(MemoryStore({"a": GOOD}), ["a", "a", "a"])
    assert report.ok
    assert report.duplicate_keys == 2


def test_each_kind_of_fault_is_found_with_its_key_and_a_fix() -> None:
    faults = {"denied": [AccessDenied("denied: 403")], "slow": [StorageTimeout("slow: deadline")]}
    objects = {
        "good": GOOD,
        "empty": b"",
        "half": GOOD[: len(GOOD) // 2],
        "html": b"<html>",
        "denied": GOOD,
        "slow": b"",
    }
    report = check(MemoryStore(objects, faults=faults), ["good", "empty", "half", "html", "denied", "slow", "gone"])
    assert kinds(report) == {"not-found": 1, "denied": 1, "unreadable": 1, "empty": 1, "undecodable": 2}
    for finding in report.findings:
        expected = {"not-found": "gone", "unreadable": "slow", "undecodable": "half"}.get(finding.kind, finding.kind)
        assert expected in finding.examples[0]
        assert finding.problem
        assert finding.fix


def test_without_decoding_any_bytes_are_good() -> None:
    assert check(MemoryStore({"a": b"no image"}), ["a"], decode=False).ok


def test_a_size_other_than_that_of_the_listing_is_found(tmp_path: Path) -> None:
    listed = [ObjectInfo("same", len(GOOD)), ObjectInfo("changed", 17), "unknown"]
    write_index(tmp_path / "index.json", listed, "a listing")
    keys = load_index(tmp_path / "index.json")
    assert keys.size_of(1) == 17
    report = check_dataset(MemoryStore({"same": GOOD, "changed": GOOD, "unknown": GOOD}), keys)
    assert kinds(report) == {"size-changed": 1}
    assert f"{len(GOOD)} bytes, 17 in the listing" in report.findings[0].examples[0]


def test_where_nothing_can_be_read_there_are_no_sizes() -> None:
    report = check(MemoryStore(), ["gone"])
    assert report.sizes is None
    assert not report.ok


def test_a_sample_reads_so_many_objects_once_each_and_the_seed_says_which() -> None:
    store = MemoryStore({str(number): GOOD for number in range(50)})
    done: list[int] = []
    report = check(store, [str(number) for number in range(50)], sample=10, seed=3, on_progress=done.append)
    assert (report.sampled, store.requests, sum(done)) == (10, 10, 10)
    assert chosen_positions(50, 10, 3) == chosen_positions(50, 10, 3) != chosen_positions(50, 10, 4)
    assert len(set(chosen_positions(50, 10, 3))) == 10
    assert list(chosen_positions(50, None, 0)) == list(chosen_positions(50, 50, 0)) == list(range(50))


def test_objects_are_read_at_once() -> None:
    store = MemoryStore({str(number): GOOD for number in range(40)}, latency_s=0.05)
    check(store, [str(number) for number in range(40)], threads=8)
    assert 2 <= store.max_in_flight <= 8


def test_paths_that_leave_the_folder_are_reported_and_not_read(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "secret").write_bytes(b"no image")
    (tmp_path / "root" / "good").write_bytes(GOOD)
    report = check(LocalStore(tmp_path / "root"), ["good", "../secret"])
    assert kinds(report) == {"key-outside": 1}
    assert report.sampled == 1


def test_the_report_becomes_json() -> None:
    report = check(MemoryStore(), ["gone"])
    plain = json.loads(json.dumps(report.as_json()))
    assert plain["ok"] is False
    assert plain["findings"][0]["kind"] == "not-found"
    assert plain["keys"] == 1


@pytest.mark.parametrize("options", [{"sample": 0}, {"sample": 1.5}, {"threads": 0}, {"threads": True}])
def test_a_number_that_is_none_is_refused(options) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        check(MemoryStore(), ["a"], **options)
