"""Which runs there are, how long they are, and what becomes of one that fails; and one real run, end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarking.bench import __main__ as program
from benchmarking.bench.__main__ import main
from benchmarking.bench.loaders.protocol import Knobs
from benchmarking.bench.loaders.registry import (
    CLIENT_ALONE,
    LITDATA,
    LITDATA_HEDGED,
    OURS,
    PACKAGES,
    SPDL,
    TORCH_BOTO3,
    TORCH_DISK,
    TORCH_OBSTORE,
    TORCH_OBSTORE_8,
    make_loaders,
)
from benchmarking.bench.runner import is_worth_running, sample_count
from benchmarking.bench.workloads import KINDS, Workload

LOADERS = make_loaders(Knobs())


def workload(kind: str = "8kb", latency_s: float = 0.1, samples: int = 0, **trouble: float) -> Workload:
    return Workload(kind, latency_s, 64, samples, 0, "/no/such/folder", "http://127.0.0.1:9", **trouble)


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seconds", [0.01, 3.0])
def test_a_run_is_two_whole_waves_and_one_between_where_batches_overlap(name: str, kind: str, seconds: float) -> None:
    wave = LOADERS[name].wave(64) * 64
    samples = sample_count(LOADERS[name], workload(kind), seconds)
    assert samples % wave == 0
    assert samples >= (2 if "torch-" in name or "s3torch" in name else 3) * wave


def test_a_slow_loader_that_reads_one_by_one_gets_no_more_samples_than_two_waves() -> None:
    assert sample_count(LOADERS[TORCH_BOTO3], workload(), 3.0) == 2 * 8 * 64
    assert sample_count(LOADERS[OURS], workload(), 3.0) > 2560 * 3


def test_waiting_for_a_slow_tail_or_a_throttle_makes_a_run_shorter() -> None:
    wave = LOADERS[OURS].wave(64) * 64
    plain, tail, throttled = (
        sample_count(LOADERS[OURS], each, 3.0) - 2 * wave
        for each in (
            workload(latency_s=0.05),
            workload(latency_s=0.05, tail_fraction=0.05),
            workload(latency_s=0.05, max_requests_per_s=1000.0),
        )
    )
    assert plain == pytest.approx(5120 * 3, abs=wave)
    assert tail == pytest.approx(2560 * 3, abs=wave)
    assert throttled == pytest.approx(1000 * 3, abs=wave)


def test_the_largest_objects_are_read_a_few_at_a_time() -> None:
    loaders = make_loaders(Knobs().for_kind(KINDS["64mb"]))
    assert loaders[SPDL].in_flight(KINDS["64mb"].batch_size) == 8
    assert Knobs().for_kind(KINDS["1mb"]) == Knobs()


def test_a_loader_runs_on_the_workloads_where_it_shows_something() -> None:
    workloads = [workload(kind, latency_s) for kind in ("8kb", "jpeg") for latency_s in (0.1, 0.0)]
    workloads += [workload(latency_s=1.0, tail_fraction=0.01), workload(latency_s=1.0, max_requests_per_s=9.5)]
    expected = {
        TORCH_DISK: ["8kb@100ms", "jpeg@100ms"],
        CLIENT_ALONE: ["8kb@100ms", "8kb@0ms"],
        LITDATA_HEDGED: ["8kb@1000ms+tail1%"],
        OURS: [each.name for each in workloads],
    }
    assert workloads[-1].name == "8kb@1000ms+throttle9.5"
    for name, names in expected.items():
        assert [each.name for each in workloads if is_worth_running(LOADERS[name], each, workloads, LOADERS)] == names


def test_more_or_fewer_workers_are_measured_with_small_objects_unless_they_are_the_only_ones() -> None:
    workloads = [workload("8kb"), workload("jpeg")]

    def found(loaders: list[str]) -> list[str]:
        few = LOADERS[TORCH_OBSTORE]
        return [each.kind for each in workloads if is_worth_running(few, each, workloads, loaders)]

    assert found([TORCH_OBSTORE, TORCH_OBSTORE_8]) == ["8kb"]
    assert found([TORCH_OBSTORE, TORCH_BOTO3]) == ["8kb", "jpeg"]


def test_a_run_is_as_long_as_the_round_before_says_and_two_waves_at_least() -> None:
    wave = LOADERS[TORCH_BOTO3].wave(64) * 64
    assert sample_count(LOADERS[TORCH_BOTO3], workload(latency_s=0.0), 2.0, 10.0 * wave) == (2 + 20) * wave
    assert sample_count(LOADERS[TORCH_BOTO3], workload(latency_s=0.0), 2.0, 0.01 * wave) == 2 * wave


def test_an_order_shuffles_whole_epochs_and_depends_on_the_seed_alone() -> None:
    objects = KINDS["jpeg"].objects
    order = workload("jpeg", samples=objects + 10).order()
    assert sorted(order[:objects]) == list(range(objects))
    assert len(order) == objects + 10
    assert order == workload("jpeg", samples=objects + 10).order() != sorted(order)


def test_a_loader_whose_package_is_missing_is_left_out_with_a_line_that_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "missing_package", PACKAGES.get)
    assert main(["--loaders", LITDATA]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "litdata is left out: litdata is not installed (make bench-peers installs it)",
        "no loader is left to run",
    ]


def test_a_run_prints_a_table_and_keeps_every_round(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--quick", "--latencies-ms", "20", "--loaders", "ours-disk", "ours-threaded"]
    assert main([*options, "--output", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    (path,) = tmp_path.glob("bench-*.json")
    assert str(path) in printed
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert [(run["loader"], run["error"]) for run in kept["runs"]] == [
        ("ours-threaded", ""),
        ("ours-disk", ""),
    ]
    assert all(f"| {each['loader']} " in printed for each in kept["medians"])
    assert kept["machine"]["packages"]["torch"]
    ours, disk = kept["medians"]
    sent = ours["requests_per_sample"]
    assert (
        sent is None or 1.0 <= sent <= 1.05
    )  # None: cut, on a machine that is very busy; above 1: slow ones sent again
    assert disk["requests_per_sample"] in (0.0, None)
    assert [target["name"] for target in kept["targets"]] == [
        "8kb@20ms ours-threaded / in flight/latency = 12800",
        "8kb@20ms ours-threaded / in flight/latency = 12800",
    ]
    assert 0.0 < ours["wait_p99_s"] < 10.0
    assert all(run["measurement"]["worker_rss_mib"] > 1.0 for run in kept["runs"])
    assert ours["peak_mib"] > max(run["measurement"]["main_rss_mib"] for run in kept["runs"][:1])
