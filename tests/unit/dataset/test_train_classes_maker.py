from __future__ import annotations

import itertools
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concurrent_dataloader._base.errors import ClassesFileError, OptionError
from concurrent_dataloader.dataset.classes import load_classes
from concurrent_dataloader.dataset.classes_writer import write_classes
from concurrent_dataloader.dataset.train_classes_maker import class_names, train_classes

KEYS = [
    "imagenet/train/n02119789/n02119789_3.JPEG",
    "imagenet/train/n01440764/n01440764_10026.JPEG",
    "imagenet/train/n02119789/n02119789_1.JPEG",
]


class TestClassNames:
    def test_each_folder_gives_one_class_in_sorted_order(self) -> None:
        assert class_names(KEYS) == ["n01440764", "n02119789"]

    def test_the_class_ends_at_the_last_underscore(self) -> None:
        assert class_names(["kit_fox/kit_fox_1.jpg"]) == ["kit_fox"]

    @pytest.mark.parametrize(
        ("key", "reason"),
        [
            ("cats/001.jpg", "no '_' in the file name"),
            ("cats/_001.jpg", "nothing before the '_'"),
            ("cats/img_001.jpg", "folder 'cats', but its file name says 'img'"),
            ("cats_001.jpg", "it lies in no folder"),
            ("/cats_001.jpg", "it lies in no folder"),
        ],
    )
    def test_a_key_in_which_the_loader_would_find_no_class_is_refused_with_reason_and_remedy(
        self, key: str, reason: str
    ) -> None:
        with pytest.raises(ClassesFileError) as raised:
            class_names([*KEYS, key, key])
        assert str(raised.value).startswith(f"2 of 5 keys give no class, the first is {key}: ")
        assert reason in str(raised.value)
        assert "Rename the files" in str(raised.value)

    def test_by_file_name_the_folder_does_not_matter(self) -> None:
        assert class_names(["all/dog_1.jpg", "cat_1.jpg", "x/y/dog_2.jpg"], by="file-name") == ["cat", "dog"]

    def test_by_file_name_a_name_without_an_underscore_is_refused_too(self) -> None:
        with pytest.raises(ClassesFileError, match=r"1 of 2 keys give no class, the first is dog/1\.jpg"):
            class_names(["dog/1.jpg", "dog/dog_1.jpg"], by="file-name")

    def test_no_keys_at_all_are_refused(self) -> None:
        with pytest.raises(ClassesFileError, match="no keys"):
            class_names([])

    def test_another_way_than_the_two_is_refused(self) -> None:
        with pytest.raises(OptionError, match="folder, file-name"):
            class_names(KEYS, by="colour")  # type: ignore[arg-type]


class TestTrainClasses:
    def test_ids_run_from_1_in_the_order_given_and_a_class_is_its_own_name(self) -> None:
        assert train_classes(["n01440764", "n02119789"]) == {
            "n01440764": {"id": 1, "name": "n01440764"},
            "n02119789": {"id": 2, "name": "n02119789"},
        }

    def test_ids_may_run_from_0(self) -> None:
        assert [entry["id"] for entry in train_classes("abc", first_id=0).values()] == [0, 1, 2]

    def test_names_come_from_the_synset_words(self) -> None:
        names = {"a": "tench", "b": "kit_fox", "c": "unused"}
        assert [entry["name"] for entry in train_classes("ab", names=names).values()] == ["tench", "kit_fox"]

    def test_given_ids_stand_in_for_the_order_and_bring_their_names(self) -> None:
        ids = {"n01440764": (449, "tench"), "n02119789": (1, "kit_fox")}
        made = train_classes(["n01440764", "n02119789"], ids=ids)
        assert list(made.items()) == [
            ("n02119789", {"id": 1, "name": "kit_fox"}),
            ("n01440764", {"id": 449, "name": "tench"}),
        ]

    @pytest.mark.parametrize(("lists", "what"), [({"names": {"a": "x"}}, "name"), ({"ids": {"a": (1, "x")}}, "id")])
    def test_a_class_that_a_list_lacks_is_named(self, lists, what: str) -> None:
        with pytest.raises(ClassesFileError, match=f"no {what} is given for 2 of 3 classes, for instance 'b'"):
            train_classes("abc", **lists)

    @pytest.mark.parametrize("first_id", [2, -1, True, "1"])
    def test_a_first_id_that_the_loader_could_not_read_off_the_file_is_refused(self, first_id: object) -> None:
        with pytest.raises(OptionError, match="first_id"):
            train_classes("abc", first_id=first_id)  # type: ignore[arg-type]

    def test_a_first_id_beside_given_ids_is_refused(self) -> None:
        with pytest.raises(OptionError, match="first_id"):
            train_classes("a", first_id=0, ids={"a": (1, "x")})


class_name = st.text(string.ascii_letters + "_é-", min_size=1, max_size=5).filter(lambda name: name[0] != "_")


@given(st.lists(class_name, unique=True, min_size=1, max_size=8), st.integers(0, 1))
def test_the_loader_finds_every_key_in_the_file_and_its_targets_are_the_places_in_sorted_order(
    tmp_path_factory: pytest.TempPathFactory, classes: list[str], first_id: int
) -> None:
    keys = [f"train/{name}/{name}_{number}.JPEG" for name, number in itertools.product(classes, range(2))]
    path = tmp_path_factory.mktemp("classes") / "classes.json"
    write_classes(path, train_classes(class_names(keys), first_id=first_id))
    loaded = load_classes(path)
    assert [loaded.target_of(key) for key in keys[::2]] == [sorted(classes).index(name) for name in classes]
