"""Several results of the benchmark in one report."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarking.bench.measure import Measurement
from benchmarking.bench.merge import main
from benchmarking.bench.runner import Run

MACHINE = {"processor": "a", "cores": 2, "python": "3.11", "packages": {"torch": "2.14"}, "load_1min": 0.5}


def run(loader: str, rate: float, workload: str = "8kb@100ms") -> Run:
    return Run(loader, workload, 0, Measurement(64, False, rate, rate, 1.0, 0.125, 4.0, 5.0, 700.0, 50.0))


def write(path: Path, *runs: Run, fetch_workers: int = 128, **machine: Any) -> str:
    content = {
        "machine": {**MACHINE, **machine},
        "options": {"workers": 2, "fetch_workers": fetch_workers, "batch_pool": 4, "latencies_ms": [100.0]},
        "runs": [dataclasses.asdict(each) for each in runs],
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def test_runs_of_several_files_are_pooled_and_held_against_the_targets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write(tmp_path / "1.json", run("ours-threaded", 2000.0), run("litdata", 1000.0))
    second = write(tmp_path / "2.json", run("ours-threaded", 2400.0), load_1min=0.1)
    assert main([first, second]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("2 workers, 128 fetch workers each, batch_pool=4; cores busy with something else: 0.00")
    assert " 2200 | (2000-2400) |" in printed
    assert "| 8kb@100ms ours-threaded / litdata                  | NO " in printed


def test_results_of_other_settings_have_a_table_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write(tmp_path / "1.json", run("ours-threaded", 2000.0))
    second = write(tmp_path / "2.json", run("ours-threaded", 4000.0), fetch_workers=256)
    assert main([first, second]) == 0
    printed = capsys.readouterr().out
    assert [
        printed.count(text) for text in ("| workload ", "128 fetch", "256 fetch", "(2000-2000)", "(4000-4000)")
    ] == [*(2, 1, 1, 1, 1)]


def test_a_run_that_failed_is_told_and_makes_the_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = Run("spdl", "8kb@100ms", 1, None, "not done after 9 s")
    assert main([write(tmp_path / "1.json", run("ours-threaded", 2000.0), failed)]) == 1
    assert "failed: 8kb@100ms spdl in round 2: not done after 9 s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("machine", "message"),
    [
        ({"cores": 4}, "2.json cannot be merged: cores is 2 in one and 4 in the other"),
        ({"packages": {"torch": "2.13"}}, "packages is {'torch': '2.14'} in one and {'torch': '2.13'} in the other"),
    ],
)
def test_results_of_another_machine_or_other_versions_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], machine: dict[str, Any], message: str
) -> None:
    files = [write(tmp_path / "1.json", run("a", 1.0)), write(tmp_path / "2.json", run("a", 1.0), **machine)]
    with pytest.raises(SystemExit):
        main(files)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("text", [None, "{", "[]", '{"options": {}}'])
def test_a_file_that_is_no_result_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    if text is not None:
        (tmp_path / "x.json").write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit):
        main([str(tmp_path / "x.json")])
    assert "x.json is no result of the benchmark" in capsys.readouterr().err
