"""From a key to its 0-based target: both shapes of the classes file, and what is refused."""

from __future__ import annotations

import json
import logging
import pickle
from pathlib import Path
from typing import Any

import pytest

from concurrent_dataloader._base.errors import ClassesFileError, MissingFileError, OptionError
from concurrent_dataloader.dataset.classes import TrainClasses, ValClasses, load_classes


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "classes.json"


def loaded(path: Path, entries: Any, **options: Any) -> TrainClasses | ValClasses:
    path.write_text(entries if isinstance(entries, str) else json.dumps(entries))
    return load_classes(path, **options)


def refusal_of(path: Path, entries: Any, **options: Any) -> str:
    with pytest.raises(ClassesFileError) as caught:
        loaded(path, entries, **options)
    assert str(path) in str(caught.value)
    return str(caught.value)


def train(**ids: object) -> dict[str, object]:
    return {name: {"id": class_id, "name": f"the {name}"} for name, class_id in ids.items()}


class TestTrainClasses:
    @pytest.mark.parametrize(
        "key",
        [
            "n01440764_10026.JPEG",
            "scratch/imagenet/train/n01440764/n01440764_10026.JPEG",
            "another_folder/of_any_depth/n01440764_1.png",
            "n09999999_1/n01440764_x",
        ],
    )
    def test_the_class_is_the_file_names_part_before_the_last_underscore_wherever_the_file_lies(
        self, path: Path, key: str
    ) -> None:
        assert loaded(path, train(n02119789=1, n01440764=2)).target_of(key) == 1

    def test_only_the_last_underscore_ends_the_class(self, path: Path) -> None:
        assert loaded(path, train(great=1, great_white=2)).target_of("great_white_7.JPEG") == 1

    @pytest.mark.parametrize(("ids", "base"), [((0, 1, 2), 0), ((1, 2, 3), 1)])
    def test_targets_count_from_0_whatever_the_file_counts_from(
        self, path: Path, ids: tuple[int, ...], base: int
    ) -> None:
        classes = loaded(path, train(**dict(zip("abc", ids, strict=True))))
        assert [classes.target_of(f"{name}_1.JPEG") for name in "abc"] == [0, 1, 2]
        assert classes.id_base == base

    def test_a_key_without_a_class_is_named_with_what_is_missing_and_the_file(self, path: Path) -> None:
        classes = loaded(path, train(a=1))
        with pytest.raises(ClassesFileError, match=rf"^x/b_1\.JPEG: no class 'b' \(classes file {path}\)$"):
            classes.target_of("x/b_1.JPEG")
        with pytest.raises(ClassesFileError, match=r"^a_folder/b\.JPEG: no '_' in the file name"):
            classes.target_of("a_folder/b.JPEG")

    def test_unpickled_classes_are_the_same(self, path: Path) -> None:
        classes = loaded(path, train(a=1, b=2))
        assert pickle.loads(pickle.dumps(classes)) == classes


class TestValClasses:
    def test_the_first_image_has_the_class_of_index_0(self, path: Path) -> None:
        classes = loaded(path, {"0": 490, "1": 361, "2": 1})
        assert classes.target_of("val/ILSVRC2012_val_00000001.JPEG") == 489
        assert classes.target_of("ILSVRC2012_val_00000002.JPEG") == 360
        assert classes.target_of("3.png") == 0

    def test_a_file_that_runs_from_1_is_one_based(self, path: Path) -> None:
        classes = loaded(path, {"1": 490, "2": 361, "3": 1})
        assert classes.target_of("val/ILSVRC2012_val_00000001.JPEG") == 489
        assert classes.target_of("ILSVRC2012_val_00000003.JPEG") == 0

    def test_the_entries_order_does_not_matter(self, path: Path) -> None:
        assert loaded(path, {"2": 1, "0": 3, "1": 2}).target_of("1.png") == 2

    def test_a_zero_based_file_may_have_gaps(self, path: Path) -> None:
        assert loaded(path, {"0": 1, "7": 2}).target_of("8.png") == 1

    @pytest.mark.parametrize(("entries", "first"), [({"1": 1, "3": 2}, "begin at 1 and have gaps"), ({"5": 1}, "at 5")])
    def test_a_file_that_may_be_either_is_refused_rather_than_give_each_image_its_neighbours_class(
        self, path: Path, entries: dict[str, int], first: str
    ) -> None:
        message = refusal_of(path, entries)
        assert "cannot tell whether the images are numbered from 0 or from 1" in message
        assert first in message

    def test_a_key_without_a_class_is_named(self, path: Path) -> None:
        classes = loaded(path, {"0": 1})
        with pytest.raises(ClassesFileError, match=rf"^v/9\.png: no class for image index 8 \(classes file {path}\)$"):
            classes.target_of("v/9.png")
        with pytest.raises(ClassesFileError, match=r"^1/a\.png: no number at the end of the file name"):
            classes.target_of("1/a.png")

    def test_two_entries_for_one_image_are_refused(self, path: Path) -> None:
        assert "two entries for the same image" in refusal_of(path, {"1": 1, "01": 2})


class TestBaseOfIds:
    @pytest.mark.parametrize("entries", [train(a=7, b=9), {"0": 7, "1": 9}])
    def test_a_base_that_cannot_be_told_asks_for_class_id_base(self, path: Path, entries: dict[str, Any]) -> None:
        assert "as the smallest is 7; pass class_id_base" in refusal_of(path, entries)
        given = loaded(path, entries, class_id_base=1)
        assert sorted(given.targets.values()) == [6, 8]
        assert given.id_base == 1

    def test_a_given_base_wins_over_what_the_file_looks_like(self, path: Path) -> None:
        assert loaded(path, train(a=1, b=2), class_id_base=0).target_of("a_1.png") == 1

    def test_an_id_below_the_given_base_is_refused(self, path: Path) -> None:
        assert "class id 0, which is below class_id_base=1" in refusal_of(path, train(a=0), class_id_base=1)

    @pytest.mark.parametrize("base", ["1", -1, 1.0, True])
    def test_a_base_that_is_no_whole_number_from_0_on_is_refused_by_its_name(self, path: Path, base: Any) -> None:
        with pytest.raises(OptionError, match="^class_id_base: expected a whole number from 0 on"):
            loaded(path, train(a=1), class_id_base=base)

    def test_ids_from_1_with_gaps_are_taken_and_warned_of(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING, "concurrent_dataloader"):
            assert loaded(path, train(a=1, b=2)).id_base == 1
            assert not caplog.records
            assert loaded(path, train(a=1, b=3)).id_base == 1
        assert f"{path}: class ids are taken to start at 1, though some are missing" in caplog.text


class TestRefusing:
    def test_a_missing_file(self, path: Path) -> None:
        with pytest.raises(MissingFileError, match=f"there is no file {path}; expected train classes"):
            load_classes(path)

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("{}", "has no entries; expected train classes such as"),
            ("[]", "does not hold a JSON object; expected"),
            ("null", "does not hold a JSON object"),
            ("", "is not JSON at byte 0 (line 1)"),
            ('{"ä": 1,\n x', "is not JSON at byte 11 (line 2)"),
            ("<html>", "is not JSON at byte 0"),
            ('{"a": {"id": ' + "9" * 5000 + "}}", "cannot be read as JSON: Exceeds the limit"),
            ("[" * 200_000, "cannot be read as JSON: maximum recursion depth"),
        ],
    )
    def test_what_is_no_json_object_of_classes(self, path: Path, text: str, problem: str) -> None:
        assert problem in refusal_of(path, text)

    def test_bytes_that_are_no_text(self, path: Path) -> None:
        path.write_bytes(b'{"a\xff')
        with pytest.raises(ClassesFileError, match="is no UTF-8 text at byte 3"):
            load_classes(path)

    @pytest.mark.parametrize("text", ['{"a": {"id": 1}, "a": {"id": 2}}', '{"0": 1, "a": 2, "a": 1}'])
    def test_two_entries_of_one_name_of_which_json_would_keep_the_last(self, path: Path, text: str) -> None:
        assert "2 entries are named 'a'" in refusal_of(path, text)

    @pytest.mark.parametrize(
        ("entries", "problem"),
        [
            ({"a": {"id": 1}, "b": 2}, "entry 'b' has no 'id'"),
            ({"a": {"name": "kit_fox"}}, "entry 'a' has no 'id'"),
            ({"a": {"id": "1"}}, "entry 'a' has class id '1'; expected a whole number from 0 on"),
            ({"a": {"id": -1}}, "entry 'a' has class id -1"),
            ({"a": {"id": True}}, "entry 'a' has class id True"),
            ({"a": {"id": 1.0}}, "entry 'a' has class id 1.0"),
            ({"0": 1, "1": None}, "entry '1' has class id None"),
            ({"0": 1, "1": {"id": 2}}, "entry '1' has class id {'id': 2}"),
            ({"0": 1, "n01440764": 2}, "entry 'n01440764' is no image index"),
            ({"-1": 1}, "entry '-1' is no image index"),
            ({"²": 1}, "entry '²' is no image index"),
            ({"9" * 5000: 1}, "is no image index"),
        ],
    )
    def test_an_entry_that_is_none_is_named(self, path: Path, entries: dict[str, object], problem: str) -> None:
        assert problem in refusal_of(path, entries)

    def test_a_byte_order_mark_is_passed_over(self, path: Path) -> None:
        path.write_bytes(b"\xef\xbb\xbf" + json.dumps(train(a=1)).encode())
        assert load_classes(str(path)).target_of("a_1.png") == 0
