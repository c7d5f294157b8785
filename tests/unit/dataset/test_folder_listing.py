"""Classes from folders, against torchvision's ``ImageFolder`` on the same files."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS

from concurrent_dataloader._base.errors import ClassesFileError, IncompleteBody, MissingFileError, OptionError
from concurrent_dataloader.dataset import KeyIndex, ScratchDataset
from concurrent_dataloader.dataset.folder_classes import IMAGE_SUFFIXES, FolderClasses
from concurrent_dataloader.dataset.folder_listing import list_all, list_class_folders
from concurrent_dataloader.storage import LocalStore, MemoryStore

FILES = (
    "n02/b.JPEG",
    "n02/a.jpg",
    "n01 wide/z.png",
    "n01/sub/deep/x.webp",
    "n01/sub-b/y.bmp",
    "n01/sub/y.TIFF",
    "n01/w.jpg",
    "n01/sub.jpg",
    "n01/readme.txt",
    "Zebra/ü.jpg",
    "Zebra/\U0001f600.jpg",
    "Zebra/\ufb00.jpg",
    "beside.jpg",
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    write(root, FILES)
    return root


def write(root: Path, files: tuple[str, ...] | list[str], body: bytes = b"") -> None:
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(body)


def store_of(files: tuple[str, ...] | list[str], prefix: str = "") -> MemoryStore:
    store = MemoryStore()
    for name in files:
        store.put(prefix + name, b"")
    return store


def assert_same_as_image_folder(dataset: ScratchDataset, root: Path) -> None:
    theirs = ImageFolder(str(root))
    assert len(dataset) == len(theirs)
    assert [str(root / key) for key in dataset.keys] == [path for path, _ in theirs.samples]
    assert dataset.targets.tolist() == theirs.targets
    assert dataset.classes == theirs.classes
    assert dataset.class_to_idx == theirs.class_to_idx
    assert list(dataset.class_to_idx) == theirs.classes


def test_a_folder_has_the_samples_order_and_targets_of_torchvisions_image_folder(tree: Path) -> None:
    assert_same_as_image_folder(ScratchDataset.from_folder(tree), tree)


def test_the_suffixes_are_torchvisions() -> None:
    assert set(IMAGE_SUFFIXES) == set(IMG_EXTENSIONS)


def test_linked_class_folders_are_followed_as_torchvision_does(tree: Path, tmp_path: Path) -> None:
    write(tmp_path, ["elsewhere/inner/1.jpg", "elsewhere/0.jpg"])
    os.symlink(tmp_path / "elsewhere", tree / "linked")
    assert_same_as_image_folder(ScratchDataset.from_folder(tree), tree)


NAMES = st.text("ab./- \U0001f600\ufb00", min_size=1, max_size=4).filter(lambda name: name.strip("./"))
PATHS = st.lists(st.lists(NAMES, min_size=2, max_size=4), min_size=1, max_size=12)


@given(PATHS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_tree_has_the_order_of_image_folder(
    tmp_path_factory: pytest.TempPathFactory, paths: list[list[str]]
) -> None:
    root = tmp_path_factory.mktemp("tree")
    for parts in paths:
        name = "/".join(part.replace("/", "_") for part in parts)
        try:
            write(root, [f"{name}.jpg"])
        except (IsADirectoryError, NotADirectoryError, FileExistsError):
            continue  # the same name is a file here and a folder there
    assert_same_as_image_folder(ScratchDataset.from_folder(root), root)


def test_a_bucket_has_the_order_of_the_same_files_on_disk(tree: Path) -> None:
    keys, classes = list_class_folders(store_of(FILES, "data/train/"), "data/train/", IMAGE_SUFFIXES)
    theirs = ImageFolder(str(tree))
    assert [str(tree / key.removeprefix("data/train/")) for key in keys] == [path for path, _ in theirs.samples]
    assert [classes.target_of(key) for key in keys] == theirs.targets
    assert dict(classes.class_to_idx) == theirs.class_to_idx


def test_keys_with_the_prefix_of_another_folder_are_left_out() -> None:
    store = store_of(["train/a/1.jpg", "training/b/2.jpg", "train.jpg"])
    keys, classes = list_class_folders(store, "train/", None)
    assert list(keys) == ["train/a/1.jpg"]
    assert list(classes.class_to_idx) == ["a"]


def test_empty_class_folders_are_refused_by_name_as_torchvision_does(tree: Path) -> None:
    (tree / "empty").mkdir()
    write(tree, ["texts/1.txt"])
    with pytest.raises(FileNotFoundError):
        ImageFolder(str(tree))
    with pytest.raises(MissingFileError, match="'empty', 'texts'"):
        ScratchDataset.from_folder(tree)


def test_the_marker_of_an_empty_class_folder_in_a_bucket_counts_as_one() -> None:
    store = store_of(["p/a/1.jpg", "p/b/"])
    with pytest.raises(MissingFileError, match="class folders 'b'"):
        list_class_folders(store, "p/", IMAGE_SUFFIXES)


def test_of_many_empty_class_folders_twenty_are_named() -> None:
    with pytest.raises(MissingFileError, match=r"'c19' and 5 more"):
        list_class_folders(store_of([f"c{i:02}/1.txt" for i in range(25)]), "", ".jpg")


def test_a_place_without_folders_or_without_objects_is_named(tmp_path: Path) -> None:
    write(tmp_path, ["flat/1.jpg"])
    with pytest.raises(MissingFileError, match="flat.*expected one for each class"):
        ScratchDataset.from_folder(tmp_path / "flat")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        ScratchDataset.from_folder(tmp_path / "nowhere")
    with pytest.raises(MissingFileError, match=r"end in \.png in .*p/"):
        list_all(store_of(["p/1.jpg"]), "p/", (".png",))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"suffix": 5}, "suffix"),
        ({"suffix": ()}, "suffix"),
        ({"suffix": (".jpg", None)}, "suffix"),
        ({"limit": 0}, "limit"),
        ({"decoder": "jpeg"}, "decoder"),
        ({"use_cache": True, "cache_max_bytes": 0}, "max_bytes"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_listed(
    tmp_path: Path, options: dict[str, object], named: str
) -> None:
    with pytest.raises(OptionError, match=named):
        ScratchDataset.from_folder(tmp_path / "nowhere", **options)  # type: ignore[arg-type]


def test_an_unknown_argument_is_named(tree: Path) -> None:
    with pytest.raises(TypeError, match=r"bucket_name.*expected some of limit, transform"):
        ScratchDataset.from_folder(tree, bucket_name="x")  # type: ignore[call-arg]


def test_the_sizes_of_the_listing_are_kept(tree: Path) -> None:
    write(tree, ["n02/a.jpg", "Zebra/\ufb00.jpg"], b"1234567")
    store = LocalStore(tree)
    for keys in (ScratchDataset.from_folder(tree).keys, list_all(store, "", None), list_all(store, "", ".jpg", 3)):
        assert [keys.size_of(at) for at in range(len(keys))] == [len(store.get(key)) for key in keys]
        assert 7 in map(keys.size_of, range(len(keys)))


def test_a_file_that_has_changed_since_it_was_listed_is_an_error_that_names_it(tree: Path) -> None:
    dataset = ScratchDataset.from_folder(tree, decoder=bytes)
    write(tree, ["n01/w.jpg"], b"longer now")
    with pytest.raises(IncompleteBody, match=r"n01/w\.jpg: 10 bytes arrived, 0 were listed"):
        dataset[list(dataset.keys).index("n01/w.jpg")]


def test_any_suffix_may_be_listed(tree: Path) -> None:
    assert "n01/readme.txt" in list(ScratchDataset.from_folder(tree, suffix=None).keys)
    with pytest.raises(MissingFileError, match="'Zebra', 'n01 wide', 'n02'"):
        ScratchDataset.from_folder(tree, suffix=".TXT")


def test_samples_are_decoded_with_the_target_of_their_folder(tree: Path, tmp_path: Path) -> None:
    image = io.BytesIO()
    Image.new("L", (3, 2)).save(image, "PNG")
    write(tmp_path, ["two/b/1.png", "two/a/1.png"], image.getvalue())
    dataset = ScratchDataset.from_folder(tmp_path / "two", transform=lambda each: each.size, target_transform=str)
    assert [dataset[0], dataset[1]] == [((3, 2), "0"), ((3, 2), "1")]


def test_limit_takes_the_first_samples_and_leaves_all_classes(tree: Path) -> None:
    dataset = ScratchDataset.from_folder(tree, limit=2)
    assert len(dataset) == len(dataset.targets) == 2
    assert dataset.classes == ["Zebra", "n01", "n01 wide", "n02"]


def test_a_pickled_dataset_has_its_classes_and_leaves_the_targets_to_be_found_again(tree: Path) -> None:
    dataset = ScratchDataset.from_folder(tree)
    before = pickle.dumps(dataset)
    targets = dataset.targets
    assert targets is dataset.targets
    assert targets.dtype == np.int64
    pickled = pickle.dumps(dataset)
    assert len(pickled) == len(before)
    copy = pickle.loads(pickled)
    assert copy.classes == dataset.classes
    assert copy.class_to_idx == dataset.class_to_idx
    assert (copy.targets == targets).all()
    assert list(copy.keys) == list(dataset.keys)


def test_a_dataset_without_folders_says_so_where_classes_are_asked_for(tree: Path) -> None:
    store = store_of(FILES)
    plain = ScratchDataset.from_folder(tree)
    plain._classes = None
    assert not hasattr(plain, "targets")
    with pytest.raises(AttributeError, match="without classes"):
        plain.targets
    with pytest.raises(AttributeError, match="not named by folders"):
        plain.classes
    assert len(list_all(store, "", None)) == len(FILES)


def test_a_subclass_may_have_classes_and_targets_of_its_own(tree: Path) -> None:
    dataset = ScratchDataset.from_folder(tree)
    dataset.classes, dataset.targets = ["mine"], "my targets"  # type: ignore[assignment]
    copy = pickle.loads(pickle.dumps(dataset))
    assert (copy.classes, copy.targets) == (["mine"], "my targets")


def test_all_keys_are_listed_in_the_order_of_their_bytes_up_to_a_limit() -> None:
    store = store_of(["p/b.jpg", "p/a/1.JPG", "p/a-1.jpg", "p/c.txt", "q.jpg"])
    assert list(list_all(store, "p/", IMAGE_SUFFIXES)) == ["p/a-1.jpg", "p/a/1.JPG", "p/b.jpg"]
    assert list(list_all(store, "", None, limit=2)) == ["p/a-1.jpg", "p/a/1.JPG"]
    assert isinstance(list_all(store, "", None), KeyIndex)


@pytest.mark.parametrize("key", ["p/c/1.jpg", "q/a/1.jpg", "p/a", "a/1.jpg"])
def test_a_key_outside_the_class_folders_is_named(key: str) -> None:
    classes = FolderClasses("p/", {"a": 0, "b": 1})
    assert classes.target_of("p/b/1.jpg") == 1
    assert classes.id_base == 0
    with pytest.raises(ClassesFileError, match=f"{key}: .*2 class folders below 'p/'"):
        classes.target_of(key)
