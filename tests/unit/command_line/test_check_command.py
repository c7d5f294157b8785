from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from concurrent_dataloader.command_line.main import main

KEYS = ["cat/cat_1.png", "cat/cat_2.png", "dog/dog_1.png"]


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for key in KEYS:
        Path("images", key).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(Path("images", key))
    Path("index.json").write_text(json.dumps([*KEYS, KEYS[0]]))
    Path("classes.json").write_text('{"cat": {"id": 0, "name": "cat"}, "dog": {"id": 1, "name": "dog"}}')
    return tmp_path


def test_what_fits_together_gives_0_and_a_short_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "index.json", "images", "--classes", "classes.json"]) == 0
    output, messages = capsys.readouterr()
    size = Path("images", KEYS[0]).stat().st_size
    assert output.splitlines() == [
        "index.json: 4 keys, 1 of them for the second time or more often",
        "classes.json: 2 entries",
        f"images: 4 objects looked at, of {size} to {size} bytes, median {size}",
        "nothing is wrong",
    ]
    assert messages == ""


def test_each_finding_is_shown_with_examples_and_its_fix_and_gives_1(capsys: pytest.CaptureFixture[str]) -> None:
    Path("images", KEYS[1]).write_bytes(b"")
    Path("images", KEYS[2]).unlink()
    Path("classes.json").write_text('{"dog": {"id": 0, "name": "dog"}, "cow": {"id": 1, "name": "cow"}}')
    assert main(["check", "index.json", "images", "--classes", "classes.json"]) == 1
    output = capsys.readouterr().out
    for part in (
        "3 keys have no class",
        "1 entries of the classes file",
        "1 objects are not there",
        "1 objects are empty",
    ):
        assert part in output
    assert output.count("\n  -> ") == 4
    assert output.endswith("problems: 4\n")


def test_json_is_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    Path("images", KEYS[2]).write_bytes(b"no image")
    assert main(["check", "index.json", "images", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["keys"], report["duplicate_keys"], report["class_entries"]) == (False, 4, 1, None)
    assert [(each["kind"], each["count"]) for each in report["findings"]] == [("undecodable", 1)]
    assert main(["check", "index.json", "images", "--json", "--no-decode"]) == 0


def test_a_sample_or_all_objects_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, expected in ((["--sample", "2"], 2), (["--sample", "2", "--seed", "5"], 2), (["--all"], 4)):
        assert main(["check", "index.json", "images", "--json", *arguments]) == 0
        assert json.loads(capsys.readouterr().out)["sampled"] == expected


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["none.json", "images"], 1, "none.json"),
        (["index.json", "images", "--classes", "none.json"], 1, "none.json"),
        (["index.json", "nowhere"], 2, "'nowhere' is no folder"),
        (["index.json", "ftp://host"], 2, "expected s3://bucket"),
        (["index.json", "images", "--unsigned"], 2, "--unsigned"),
        (["index.json", "images", "--sample", "0"], 2, "expected a whole number from 1 on, got '0'"),
        (["index.json", "images", "--threads", "x"], 2, "expected a whole number from 1 on, got 'x'"),
        (["index.json", "images", "--all", "--sample", "3"], 2, "not allowed with"),
        (["index.json", "s3://bucket/elsewhere"], 1, "begins with 'elsewhere/'"),
    ],
)
def test_wrong_use_gives_2_and_a_bad_file_1(
    arguments: list[str], code: int, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *arguments]) == code
    assert problem in capsys.readouterr().err
