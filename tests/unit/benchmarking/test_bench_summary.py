"""Medians, the table and the targets."""

from __future__ import annotations

import pytest

from benchmarking.bench.measure import Measurement
from benchmarking.bench.runner import Run
from benchmarking.bench.summary import summarise, table
from benchmarking.bench.targets import check_targets


def run(loader: str, rate: float, *, workload: str = "8kb@100ms", requests: float | None = 1.0) -> Run:
    measurement = Measurement(
        samples=2000,
        stopped_early=requests is None,
        samples_per_s=rate,
        overall_samples_per_s=rate,
        first_batch_s=1.0,
        wait_p99_s=0.0,
        cpu_s=4.0,
        process_cpu_s=5.0,
        main_rss_mib=1.0,
        worker_rss_mib=1.0,
    )
    return Run(loader, workload, 0, measurement, requests_per_sample=requests)


def ratios(*runs: Run) -> dict[str, tuple[float, bool]]:
    targets = check_targets(summarise(runs), latency_s=0.1, in_flight=256)
    return {target.name: (pytest.approx(target.ratio), target.is_reached) for target in targets}


def test_medians_are_taken_over_the_runs_that_succeeded() -> None:
    failed = Run("a", "8kb@100ms", 3, None, "exit code 1")
    (found,) = summarise([run("a", 10.0), run("a", 90.0), run("a", 20.0), failed])
    assert (found.runs, found.slowest, found.samples_per_s, found.fastest) == (3, 10.0, 20.0, 90.0)
    assert found.cpu_s_per_1000 == 2.0


def test_a_run_that_was_cut_does_not_count_for_the_requests_per_sample() -> None:
    (found,) = summarise([run("a", 10.0, requests=None), run("a", 10.0, requests=1.5)])
    assert found.requests_per_sample == 1.5
    (cut,) = summarise([run("a", 10.0, requests=None)])
    assert cut.requests_per_sample is None
    assert table([cut]).endswith(" cut |")


def test_the_table_has_a_row_for_each_loader_and_columns_of_even_width() -> None:
    lines = table(summarise([run("a", 10.0), run("a-long-name", 123456.0)])).splitlines()
    assert len(lines) == 4
    assert len({len(line) for line in lines}) == 1
    assert "123456" in lines[3]


@pytest.mark.parametrize(
    ("client", "name", "ratio"),
    [
        pytest.param(
            3000.0, "8kb@100ms ours-threaded / in flight/latency = 2560", 2176 / 2560, id="the network limits"
        ),
        pytest.param(2200.0, "8kb@100ms ours-threaded / client-alone, what the CPU allows", 2176 / 2200, id="the CPU"),
    ],
)
def test_ours_is_held_against_the_lower_of_the_two_limits(client: float, name: str, ratio: float) -> None:
    assert ratios(run("ours-threaded", 2176.0), run("client-alone", client)) == {name: (ratio, True)}


def test_a_ratio_below_its_target_is_missed() -> None:
    found = ratios(
        run("ours-threaded", 2000.0),
        run("torch-boto3", 80.0),
        run("ours-threaded", 95.0, workload="jpeg@100ms"),
        run("torch-disk", 100.0, workload="jpeg@100ms"),
        run("ours-disk", 96.0, workload="jpeg@100ms"),
    )
    assert found == {
        "8kb@100ms ours-threaded / in flight/latency = 2560": (2000 / 2560, False),
        "8kb@100ms ours-threaded / torch-boto3": (25.0, False),
        "jpeg@100ms ours-threaded / torch-disk": (0.95, True),
        "jpeg@100ms ours-disk / torch-disk": (0.96, False),
    }
