"""The dataset over local files, and the index of a folder."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import plain
from torch.utils.data import DataLoader as TorchLoader

from concurrent_dataloader import DataLoader
from concurrent_dataloader._base.errors import (
    DecodeError,
    IndexFileError,
    MissingFileError,
    ObjectNotFound,
    OptionError,
    StorageError,
)
from concurrent_dataloader.dataset import ScratchDataset, load_index


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pictures of two classes at different depths, and a file that is no picture."""
    folder = tmp_path / "data"
    for i in range(6):
        path = folder / ("train" if i % 2 else "train/deep/er") / f"n{i % 2}_{i}.PNG"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(plain(i))
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def index(folder: Path, tmp_path: Path) -> Path:
    assert ScratchDataset.index_all(tmp_path / "index.json", local_path=folder, suffix=".png") == 6
    return tmp_path / "index.json"


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    path = tmp_path / "classes.json"
    path.write_text(json.dumps({"n0": {"id": 1, "name": "even"}, "n1": {"id": 2, "name": "odd"}}))
    return path


def level(image: Any) -> int:
    return int(np.asarray(image)[0, 0, 0])


def test_an_indexed_folder_is_read_in_the_order_of_the_index(folder: Path, index: Path, classes: Path) -> None:
    dataset = ScratchDataset(index, classes, local_path=folder, transform=level)
    assert list(dataset) == [(0, 0), (2, 0), (4, 0), (1, 1), (3, 1), (5, 1)]
    assert dataset.describe(0) == "train/deep/er/n0_0.PNG"


def test_without_local_path_the_working_directory_counts_at_construction(
    folder: Path, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    dataset = ScratchDataset(index, transform=level)
    monkeypatch.chdir(tmp_path)
    assert dataset[5] == 5


@pytest.mark.parametrize("fetch_impl", ["threaded", "asyncio", "vanilla"])
@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_every_way_of_fetching_gives_torchs_batches(
    folder: Path, index: Path, classes: Path, fetch_impl: Any, num_workers: int
) -> None:
    dataset = ScratchDataset(index, classes, local_path=folder, transform=level)
    expected = [[part.tolist() for part in batch] for batch in TorchLoader(dataset, batch_size=4)]
    loader = DataLoader(dataset, batch_size=4, num_workers=num_workers, fetch_impl=fetch_impl)
    assert [[part.tolist() for part in batch] for batch in loader] == expected


def test_a_file_that_has_gone_is_not_found_and_named(folder: Path, index: Path) -> None:
    dataset = ScratchDataset(index, local_path=folder)
    (folder / "train/n1_1.PNG").unlink()
    with pytest.raises(ObjectNotFound, match=str(folder / "train/n1_1.PNG")):
        dataset[3]


def test_a_file_that_is_no_picture_is_named(folder: Path, tmp_path: Path) -> None:
    ScratchDataset.index_all(tmp_path / "all.json", local_path=folder, suffix=".txt")
    with pytest.raises(DecodeError, match=f"{folder / 'notes.txt'}: 10 bytes"):
        ScratchDataset(tmp_path / "all.json", local_path=folder)[0]


@pytest.mark.parametrize("key", ["/etc/passwd", "../secret.png", "train/../../secret.png", ".."])
def test_an_index_that_leads_out_of_the_folder_is_refused(folder: Path, tmp_path: Path, key: str) -> None:
    path = tmp_path / "index.json"
    path.write_text(json.dumps(["train/n1_1.PNG", key]))
    with pytest.raises(IndexFileError, match=rf"index\.json: entry 1 \(counted from 0\) is '{key}'.* below {folder}"):
        ScratchDataset(path, local_path=folder)


def test_missing_files_come_from_the_credentials_files_urls(
    folder: Path, index: Path, classes: Path, tmp_path: Path
) -> None:
    urls = {"val_index_file_download_url": f"file://{index}", "val_classes_file_download_url": f"file://{classes}"}
    (tmp_path / "s3.json").write_text(json.dumps(urls))
    here = tmp_path / "new"
    dataset = ScratchDataset(
        here / "i.json", here / "c.json", tmp_path / "s3.json", local_path=folder, dataset_type="val", transform=level
    )
    assert dataset[-1] == (5, 1)
    assert (here / "i.json").read_bytes() == index.read_bytes()


def test_the_cache_reads_each_file_once(folder: Path, index: Path, tmp_path: Path) -> None:
    options = {"local_path": folder, "use_cache": True, "cache_dir": tmp_path / "cache", "transform": level}
    assert ScratchDataset(index, **options)[3] == 1
    (folder / "train/n1_1.PNG").unlink()
    assert ScratchDataset(index, **options)[3] == 1


class TestIndexing:
    def test_paths_are_relative_and_in_the_order_of_bytes(self, folder: Path, index: Path) -> None:
        keys = list(load_index(index))
        assert keys == sorted(keys, key=str.encode)
        assert keys[0] == "train/deep/er/n0_0.PNG"

    def test_all_files_are_taken_without_a_suffix_but_the_index_itself_never(self, folder: Path) -> None:
        for _ in range(2):  # the second time the first index lies there
            assert ScratchDataset.index_all(folder / "index.json", local_path=folder) == 7
        assert "index.json" not in list(load_index(folder / "index.json"))

    def test_several_suffixes_whatever_their_case(self, folder: Path, tmp_path: Path) -> None:
        path = tmp_path / "index.json"
        assert ScratchDataset.index_all(path, local_path=folder, suffix=(".TXT", ".png")) == 7
        assert ScratchDataset.index_all(path, local_path=folder, suffix=".TXT") == 1

    def test_a_prefix_takes_a_part_and_a_gz_name_is_gzipped(self, folder: Path, tmp_path: Path) -> None:
        path = tmp_path / "index.json.gz"
        assert ScratchDataset.index_all(path, local_path=folder, prefix="train/deep/") == 3
        assert len(json.loads(gzip.decompress(path.read_bytes()))) == 3
        assert len(ScratchDataset(path, local_path=folder)) == 3

    def test_nothing_found_writes_nothing_and_leaves_an_old_index(self, folder: Path, index: Path) -> None:
        old = index.read_bytes()
        with pytest.raises(MissingFileError, match=f"nothing in {folder}.* matches"):
            ScratchDataset.index_all(index, local_path=folder, suffix=".jpeg")
        assert index.read_bytes() == old
        assert not [path for path in index.parent.iterdir() if path.name.endswith(".part")]

    @pytest.mark.parametrize("suffix", [(), (".png", 3)])
    def test_a_suffix_that_is_none_is_refused(self, folder: Path, tmp_path: Path, suffix: Any) -> None:
        with pytest.raises(OptionError, match="^suffix: expected"):
            ScratchDataset.index_all(tmp_path / "index.json", local_path=folder, suffix=suffix)
        assert not (tmp_path / "index.json").exists()

    def test_a_folder_that_is_missing_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="nowhere"):
            ScratchDataset.index_all(tmp_path / "index.json", local_path=tmp_path / "nowhere")
