from __future__ import annotations

import json
from pathlib import Path

import pytest

from concurrent_dataloader import ScratchDataset
from concurrent_dataloader.command_line.cache_command import size_bytes
from concurrent_dataloader.command_line.main import main

HEADER = 16


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    Path("objects").mkdir()
    for number in range(10):
        Path("objects", str(number)).write_bytes(bytes(1000))
    Path("index.json").write_text(json.dumps([str(number) for number in range(10)]))
    return tmp_path


def run(*arguments: str) -> int:
    return main(["cache", *arguments])


def test_what_was_warmed_is_read_by_the_dataset_without_the_store(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("warm", "index.json", "objects") == 0
    assert "10 of 10 keys are in the cache; 0 were there before, 10 objects of 10,000 bytes" in capsys.readouterr().out
    for path in Path("objects").iterdir():
        path.unlink()
    dataset = ScratchDataset("index.json", local_path="objects", use_cache=True, decoder=bytes)
    assert [dataset[number] for number in range(10)] == [bytes(1000)] * 10


def test_a_second_run_fetches_only_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    Path("part.json").write_text('["0", "1", "2"]')
    assert run("warm", "part.json", "objects") == 0
    assert run("warm", "index.json", "objects") == 0
    assert "3 were there before, 7 objects of 7,000 bytes were fetched" in capsys.readouterr().out


def test_what_does_not_fit_is_said_and_gives_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("warm", "index.json", "objects", "--max-bytes", "5100", "--threads", "1") == 1
    output, messages = capsys.readouterr()
    assert "5 of 10 keys are in the cache" in output
    assert "does not fit into 5,100 bytes: raise --max-bytes" in messages


def test_objects_that_are_not_there_are_named_and_give_1(capsys: pytest.CaptureFixture[str]) -> None:
    Path("objects/7").unlink()
    assert run("warm", "index.json", "objects") == 1
    output, messages = capsys.readouterr()
    assert "9 of 10 keys" in output
    assert "objects/7" in messages


def test_stats_and_clear_tell_what_is_and_was_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("warm", "index.json", "objects", "--cache-dir", "mine", "--max-bytes", "1MB") == 0
    capsys.readouterr()
    assert run("stats", "--cache-dir", "mine") == 0
    assert capsys.readouterr().out == f"mine: 10 objects, {10 * (1000 + HEADER):,} bytes, at most 1,000,000\n"
    assert run("stats", "--cache-dir", "mine", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "cache_dir": "mine",
        "entries": 10,
        "size_bytes": 10 * (1000 + HEADER),
        "max_bytes": 1_000_000,
    }
    assert run("clear", "--cache-dir", "mine") == 0
    assert capsys.readouterr().out == f"mine: removed 10 objects, {10 * (1000 + HEADER):,} bytes\n"
    assert run("stats", "--cache-dir", "mine") == 0
    assert capsys.readouterr().out.startswith("mine: 0 objects, 0 bytes")


@pytest.mark.parametrize("action", ["stats", "clear"])
def test_where_there_is_no_cache_the_message_says_so(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(action) == 1
    assert "there is no cache in" in capsys.readouterr().err
    assert not Path("user-cache").exists()


def test_a_folder_with_other_files_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("warm", "index.json", "objects", "--cache-dir", ".") == 2
    assert "holds files that are no cache's" in capsys.readouterr().err


def test_an_action_has_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 2
    assert "ACTION" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500", 500),
        ("500B", 500),
        ("2kB", 2000),
        ("50GB", 50 * 10**9),
        ("50 gb", 50 * 10**9),
        ("1.5T", 1_500_000_000_000),
        ("1KiB", 1024),
        ("0.5GiB", 2**29),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_sizes_are_read_with_their_units(text: str, expected: int) -> None:
    assert size_bytes(text) == expected


@pytest.mark.parametrize("text", ["0", "-1", "", "GB", "1XB", "5i", "1e9", "nan", "0.0GB"])
def test_what_is_no_size_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("warm", "index.json", "objects", f"--max-bytes={text}") == 2
    assert "expected a size above 0" in capsys.readouterr().err
