from __future__ import annotations

from pathlib import Path

from concurrent_dataloader.dataset.classes import TrainClasses, ValClasses
from concurrent_dataloader.dataset.key_check import check_keys
from concurrent_dataloader.dataset.key_index import KeyIndex

TRAIN = TrainClasses(Path("train.json"), {"cat": 0, "dog": 1}, 1)
VAL = ValClasses(Path("val.json"), {0: 5, 1: 0, 2: 3}, 0, 0)


def found(keys, classes, *, confined: bool = False) -> dict[str, int]:
    return {each.kind: each.count for each in check_keys(KeyIndex.from_keys(keys), classes, confined=confined)}


def test_keys_and_classes_that_fit_give_no_finding() -> None:
    assert found(["a/cat_1.jpg", "dog_2.jpg", "dog_2.jpg"], TRAIN, confined=True) == {}
    assert found(["v_1.jpg", "v_3.jpg", "v_2.jpg"], VAL) == {}
    assert found(["anything"], None) == {}


def test_keys_without_a_class_are_counted_with_their_reasons() -> None:
    keys = KeyIndex.from_keys(["cat_1.jpg", "dog_1.jpg", "cow_1.jpg", "cow.jpg"])
    (finding,) = check_keys(keys, TRAIN, confined=False)
    assert (finding.kind, finding.count) == ("key-without-class", 2)
    assert "cow_1.jpg: no class 'cow'" in finding.examples[0]
    assert "cow.jpg: no '_'" in finding.examples[1]
    assert "concurrent-dataloader classes" in finding.fix
    assert found(["v_1.jpg", "v_2.jpg", "v_3.jpg", "v_4.jpg", "v.jpg"], VAL) == {"key-without-class": 2}


def test_classes_without_a_key_are_counted() -> None:
    assert found(["cat_1.jpg"], TRAIN) == {"class-without-key": 1}
    assert found(["v_2.jpg"], VAL) == {"class-without-key": 2}


def test_only_five_examples_are_kept_and_all_are_counted() -> None:
    keys = KeyIndex.from_keys([f"cow_{number}.jpg" for number in range(50)])
    finding = check_keys(keys, TRAIN, confined=False)[0]
    assert (finding.count, len(finding.examples)) == (50, 5)


def test_paths_that_leave_a_folder_are_found_and_keys_in_a_bucket_may_have_them() -> None:
    keys = ["cat_1.jpg", "../cat_1.jpg", "/etc/cat_1", "a/../dog_1"]
    assert found(keys, TRAIN, confined=True) == {"key-outside": 3}
    assert found(keys, TRAIN) == {}
