from __future__ import annotations

from pathlib import Path

import pytest

from concurrent_dataloader._base.errors import ClassesFileError, MissingFileError
from concurrent_dataloader.dataset.synset_files import read_synset_ids, read_synset_words


@pytest.fixture
def listed(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "list.txt"
        path.write_text(text)
        return path

    return write


def test_a_synset_gets_the_first_of_its_words_with_underscores_for_blanks(listed) -> None:
    path = listed("n01440764 tench, Tinca tinca\nn02119789 kit fox, Vulpes macrotis\n\nn03126707 crane\n")
    assert read_synset_words(path) == {"n01440764": "tench", "n02119789": "kit_fox", "n03126707": "crane"}


def test_two_synsets_may_have_the_same_name(listed) -> None:
    assert read_synset_words(listed("n02012849 crane\nn03126707 crane\n")).keys() == {"n02012849", "n03126707"}


def test_ids_come_with_their_names(listed) -> None:
    assert read_synset_ids(listed("n02119789 1 kit_fox\nn02100735 2 English_setter\r\n")) == {
        "n02119789": (1, "kit_fox"),
        "n02100735": (2, "English_setter"),
    }


@pytest.mark.parametrize(
    ("read", "text", "problem"),
    [
        (read_synset_words, "n1 a\nn2\n", "line 2: expected a synset and its names.*got 'n2'"),
        (read_synset_words, "n1 a\n\nn1 b\n", "line 3: synset n1 for the second time"),
        (read_synset_ids, "n1 1 a\nn2 two b\n", "line 2: expected a synset, its id and its name.*got 'n2 two b'"),
        (read_synset_ids, "n1 1 a\nn2 2\n", "line 2: expected"),
        (read_synset_ids, "n1 tench, Tinca tinca\n", "line 1: expected"),
        (read_synset_ids, "n1 1 a\nn1 2 b\n", "line 2: synset n1 for the second time"),
        (read_synset_ids, "n1 1 a\nn2 1 b\n", "line 2: id 1 for the second time"),
        (read_synset_ids, " \n", "is empty"),
    ],
)
def test_a_bad_line_is_named_by_file_and_number(listed, read, text: str, problem: str) -> None:
    path = listed(text)
    with pytest.raises(ClassesFileError, match=problem) as raised:
        read(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("read", [read_synset_words, read_synset_ids])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, read) -> None:
    with pytest.raises(MissingFileError, match="none.txt"):
        read(tmp_path / "none.txt")
