"""Which objects go into an index."""

from __future__ import annotations

from typing import Any

import pytest

from concurrent_dataloader._base.errors import OptionError
from concurrent_dataloader.dataset.key_filter import KeyFilter
from concurrent_dataloader.storage import ObjectInfo

KEYS = ["in/train/a.JPEG", "in/train/b.png", "in/train/thumbs/c.jpeg", "in/val/d.jpeg", "in/[x].jpeg"]


def chosen(*args: Any, **options: Any) -> list[str]:
    objects = [ObjectInfo(key, 1) for key in KEYS]
    return [each.key.removeprefix("in/") for each in KeyFilter(*args, prefix="in/", **options).chosen(objects)]


def test_without_a_choice_all_are_taken() -> None:
    assert [f"in/{key}" for key in chosen()] == KEYS


def test_suffixes_count_whatever_their_case() -> None:
    assert chosen(".jpeg") == ["train/a.JPEG", "train/thumbs/c.jpeg", "val/d.jpeg", "[x].jpeg"]
    assert chosen([".png", ".JPEG"], limit=2) == ["train/a.JPEG", "train/b.png"]


def test_patterns_are_for_the_whole_path_below_the_prefix_and_a_star_crosses_folders() -> None:
    assert chosen(include="train/*") == ["train/a.JPEG", "train/b.png", "train/thumbs/c.jpeg"]
    assert chosen(include=["*.png", "val/?.jpeg"]) == ["train/b.png", "val/d.jpeg"]
    assert chosen(include="d.jpeg") == []
    assert chosen(include="[[]x].jpeg") == ["[x].jpeg"]


def test_exclude_wins_over_suffix_and_include() -> None:
    assert chosen(".jpeg", "train/*", "*/thumbs/*") == ["train/a.JPEG"]


def test_patterns_count_from_the_last_slash_of_a_prefix_that_ends_within_a_name() -> None:
    key_filter = KeyFilter(include="train/*", prefix="in/tr")
    assert [each.key for each in key_filter.chosen([ObjectInfo("in/train/a", 1)])] == ["in/train/a"]


def test_the_limit_reads_no_further_than_it_needs() -> None:
    objects = iter([ObjectInfo("a", 1), ObjectInfo("b", 1)])
    assert len(list(KeyFilter(limit=1).chosen(objects))) == 1
    assert next(objects).key == "b"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"suffix": 5}, "suffix: expected a string such as '.JPEG'"),
        ({"suffix": []}, "suffix"),
        ({"include": [1]}, "include"),
        ({"exclude": ()}, "exclude"),
        ({"limit": 0}, "limit: expected an integer of at least 1"),
        ({"limit": True}, "limit"),
    ],
)
def test_a_wrong_argument_is_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(OptionError, match=named):
        KeyFilter(**options)
