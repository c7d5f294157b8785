from __future__ import annotations

import pytest

from benchmarking.bench.measure import Measurement
from benchmarking.cache_speed import CACHE, DISK, TORCH, Results, judge, main


def results(rates: list[float], cpu_s: float = 1.0, gets: int = 0) -> Results:
    made = [Measurement(100, False, rate, rate, 0.1, 0.1, cpu_s, cpu_s, 1.0, 1.0) for rate in rates]
    return Results(made, gets)


def test_the_ratio_is_the_median_of_the_rounds_so_that_a_slow_machine_slows_both() -> None:
    verdict, reached = judge(
        {CACHE: results([96.0, 48.0, 9.0]), TORCH: results([100.0, 50.0, 100.0]), DISK: results([100.0] * 3)}
    )
    assert "0.960, reaches" in verdict
    assert reached


def test_a_cache_that_is_more_than_5_percent_slower_misses() -> None:
    verdict, reached = judge({CACHE: results([94.0], cpu_s=1.1), TORCH: results([100.0]), DISK: results([188.0])})
    assert "0.940, misses 0.95; cache / ScratchDataset = 0.500, CPU per sample +1000.0 us" in verdict
    assert not reached


def test_a_cache_that_asked_the_store_was_not_used_however_fast() -> None:
    verdict, reached = judge({CACHE: results([200.0], gets=7), TORCH: results([100.0]), DISK: results([100.0])})
    assert "not used: 7 GETs" in verdict
    assert not reached


def test_a_run_reads_every_object_from_the_cache_and_prints_the_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_EC2_METADATA_DISABLED"):
        monkeypatch.setenv(name, "")  # put back afterwards, whatever the run sets
    assert main(["--kinds", "8kb", "--latency-ms", "0", "--rounds", "1", "--seconds", "0.1"]) in (0, 1)
    output = capsys.readouterr().out
    assert output.count("| 8kb") == 3
    assert "8kb: cache / torch on disk = " in output


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["--seconds", "0"], ["--latency-ms", "-1"]])
def test_figures_that_make_no_sense_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
