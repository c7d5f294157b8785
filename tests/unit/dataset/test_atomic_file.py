from __future__ import annotations

import os
from pathlib import Path

import pytest
from full_disk import full_disk

from concurrent_dataloader.dataset.atomic_file import Part, replacing


def test_the_file_appears_when_the_block_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    with replacing(path) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_failing_block_leaves_the_old_file_and_no_part(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.write(bytes(1 // 0))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder"):
        Part(tmp_path)


def test_a_device_or_a_pipe_is_not_replaced_even_where_that_is_allowed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(FileExistsError, match=f"{path} is a device or a pipe; expected the name of a file"):
            Part(path)
    assert list(tmp_path.iterdir()) == [tmp_path / "pipe"]


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with full_disk(), pytest.raises(OSError, match=f"File too large: '{path}'"), replacing(path) as file:
        file.write(bytes(100_000))
    assert list(tmp_path.iterdir()) == []


def test_publishing_returns_the_state_of_the_file_that_was_published(tmp_path: Path) -> None:
    part = Part(tmp_path / "file")
    part.file.write(b"abc")
    status = part.publish()
    found = (tmp_path / "file").stat()
    assert (status.st_ino, status.st_size, status.st_ctime_ns) == (found.st_ino, 3, found.st_ctime_ns)


def test_the_state_is_that_of_the_own_file_even_if_another_replaced_it_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    other.write_bytes(b"longer")

    def rename_and_lose(part: Path, target: Path) -> None:
        os.rename(part, target)
        os.rename(other, target)

    part = Part(path)
    part.file.write(b"abc")
    monkeypatch.setattr(Path, "replace", rename_and_lose)
    assert part.publish().st_size == 3
    assert path.read_bytes() == b"longer"


def test_discarding_twice_or_after_publishing_does_nothing(tmp_path: Path) -> None:
    part = Part(tmp_path / "file")
    part.publish(durable=False)
    part.discard()
    part.discard()
    assert (tmp_path / "file").exists()


def test_a_part_is_discarded_even_if_what_it_holds_cannot_be_written(tmp_path: Path) -> None:
    part = Part(tmp_path / "file")
    part.file.write(b"held back")
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, part.file.fileno())  # every write fails from now on: no space left on device
    os.close(full)
    part.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_companion_is_named_after_the_main_file(tmp_path: Path) -> None:
    part = Part(tmp_path / "index.json.packed", named_after=tmp_path / "index.json")
    assert [each.name.rsplit(".", 2)[0] for each in tmp_path.iterdir()] == [".index.json"]
    part.publish(durable=False)
    assert [each.name for each in tmp_path.iterdir()] == ["index.json.packed"]
