from __future__ import annotations

from pathlib import Path

import pytest

from concurrent_dataloader._base.errors import ClassesFileError, MissingFileError
from concurrent_dataloader.dataset.classes import load_classes
from concurrent_dataloader.dataset.classes_writer import write_classes
from concurrent_dataloader.dataset.train_classes_maker import train_classes
from concurrent_dataloader.dataset.val_classes_maker import (
    translation,
    val_classes_from_ground_truth,
    val_classes_from_solution,
)

IDS = {"n01751748": 66, "n02119789": 1}
HEADER = "ImageId,PredictionString\n"


@pytest.fixture
def listed(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "list.txt"
        path.write_text(text)
        return path

    return write


class TestGroundTruth:
    def test_the_first_line_is_image_0_of_the_file(self, listed) -> None:
        assert val_classes_from_ground_truth(listed("490\n361\n171\n")) == {"0": 490, "1": 361, "2": 171}

    @pytest.mark.parametrize("text", ["490\r\n361\r\n", "\ufeff490\n361", " 490 \n361\n\n\n"])
    def test_line_ends_and_blanks_of_other_systems_do_not_matter(self, listed, text: str) -> None:
        assert val_classes_from_ground_truth(listed(text)) == {"0": 490, "1": 361}

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("490\nx\n", "line 2: expected a class id, got 'x'"),
            ("490\n-1\n", "line 2: expected a class id"),
            ("490\n1.0\n", "line 2: expected a class id"),
            ("490\n\n361\n", "line 2: a blank line between the ids"),
            ("\n490\n", "line 1: a blank line"),
            ("", "is empty"),
        ],
    )
    def test_a_bad_line_is_named_by_its_number(self, listed, text: str, problem: str) -> None:
        path = listed(text)
        with pytest.raises(ClassesFileError, match=problem) as raised:
            val_classes_from_ground_truth(path)
        assert str(path) in str(raised.value)

    def test_bytes_that_are_no_text_are_named_by_their_place(self, tmp_path: Path) -> None:
        (tmp_path / "list").write_bytes(b"49\xff")
        with pytest.raises(ClassesFileError, match="no UTF-8 text at byte 2"):
            val_classes_from_ground_truth(tmp_path / "list")

    def test_a_file_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(MissingFileError, match=str(tmp_path / "none")):
            val_classes_from_ground_truth(tmp_path / "none")

    def test_ids_are_translated_to_those_of_the_train_classes(self, listed) -> None:
        kit = {"n02119789": (1, "kit_fox"), "n01751748": (490, "sea_snake"), "n9": (3, "unused")}
        steps = translation(kit, IDS)
        assert steps == {1: 1, 490: 66}
        assert val_classes_from_ground_truth(listed("490\n1\n"), steps) == {"0": 66, "1": 1}
        with pytest.raises(ClassesFileError, match="line 2: class id 3 cannot be translated"):
            val_classes_from_ground_truth(listed("490\n3\n"), steps)


class TestSolution:
    def test_images_are_put_in_order_whatever_the_order_of_the_lines_and_the_number_of_boxes(self, listed) -> None:
        path = listed(
            HEADER
            + "ILSVRC2012_val_00000003,n02119789 1 2 3 4 \n"
            + "ILSVRC2012_val_00000001,n01751748 111 108 407 371 n01751748 1 2 3 4 \n"
            + "ILSVRC2012_val_00000002,n02119789 1 2 3 4 \n"
        )
        made = val_classes_from_solution(path, IDS)
        assert list(made.items()) == [("0", 66), ("1", 1), ("2", 1)]

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("ILSVRC2012_val_00000001,n01751748 1 2 3 4\n", "line 1: expected 'ImageId,PredictionString'"),
            (HEADER + "ILSVRC2012_val_00000001\n", "line 2: expected an image and its synset"),
            (HEADER + "ILSVRC2012_val_00000001,\n", "line 2: expected an image and its synset"),
            (HEADER + "image,n01751748 1 2 3 4\n", "line 2: expected an image and its synset"),
            (HEADER + "v_1,n01751748 1 2 3 4\nv_1,n01751748 1 2 3 4\n", "line 3: image 1 for the second time"),
            (HEADER + "v_1,n404 1 2 3 4\n", "line 2: synset n404 is not in the train classes"),
            (HEADER + "v_1,n01751748 1 2 3 4 n02119789 1 2 3 4\n", "line 2: expected one synset for all boxes"),
            (HEADER + "v_1,n01751748 1 2 3 4\nv_3,n01751748 1 2 3 4\n", "has 2 images, but none with number 2"),
            (HEADER + "v_0,n01751748 1 2 3 4\n", "has 1 images, but none with number 1"),
            (HEADER, "has no images"),
        ],
    )
    def test_a_bad_line_is_named_by_its_number(self, listed, text: str, problem: str) -> None:
        with pytest.raises(ClassesFileError, match=problem):
            val_classes_from_solution(listed(text), IDS)


def test_train_and_validation_classes_give_the_same_target_for_a_synset_on_every_way(tmp_path: Path, listed) -> None:
    kit = {"n02119789": (1, "kit_fox"), "n01751748": (490, "sea_snake"), "n01440764": (449, "tench")}
    key = "val/ILSVRC2012_val_00000001.JPEG"
    solution = HEADER + "v_1,n01751748 1 2 3 4\nv_2,n01440764 1 2 3 4\nv_3,n02119789 1 2 3 4\n"
    for train in (train_classes(sorted(kit)), train_classes(sorted(kit), first_id=0), train_classes(kit, ids=kit)):
        ids = {synset: entry["id"] for synset, entry in train.items()}
        write_classes(tmp_path / "train.json", train)
        expected = load_classes(tmp_path / "train.json").target_of("n01751748/n01751748_7.JPEG")
        for made in (
            val_classes_from_solution(listed(solution), ids),
            val_classes_from_ground_truth(listed("490\n449\n1\n"), translation(kit, ids)),
        ):
            write_classes(tmp_path / "val.json", made)
            assert load_classes(tmp_path / "val.json", class_id_base=None).target_of(key) == expected
