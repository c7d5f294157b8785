from __future__ import annotations

import json
from pathlib import Path

import pytest

from concurrent_dataloader.dataset.classes_writer import write_classes

ENTRIES = {"n02119789": {"id": 1, "name": "kit_fox"}, "é": {"id": 2, "name": 'a"b'}}


def test_the_file_holds_the_entries_one_a_line(tmp_path: Path) -> None:
    path = tmp_path / "made" / "classes.json"
    write_classes(path, ENTRIES)
    assert json.loads(path.read_text()) == ENTRIES
    assert len(path.read_text().splitlines()) == 2 + len(ENTRIES)


def test_what_cannot_be_written_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "classes.json"
    write_classes(path, ENTRIES)
    with pytest.raises(TypeError):
        write_classes(path, {"a": {"id": object()}})
    assert json.loads(path.read_text()) == ENTRIES
    assert list(tmp_path.iterdir()) == [path]
