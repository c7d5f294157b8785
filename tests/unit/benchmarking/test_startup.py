from __future__ import annotations

import pytest

from benchmarking.startup.__main__ import main, parse_arguments
from benchmarking.startup.subjects import TORCHS, Instant, Order
from benchmarking.startup.turns import Result, run_child
from benchmarking.startup.verdict import judge, table


def result(ours_s: float) -> Result:
    return Result("8kb", "fork", "auto", [ours_s], [0.05], [0.1], [0.05], [0.2])


def test_a_first_batch_within_1_3_times_the_sum_of_its_parts_is_soon_enough() -> None:
    assert result(0.26).ratio == pytest.approx(1.3)
    assert judge(result(0.259))
    assert not judge(result(0.27))


def test_the_medians_of_the_rounds_count_for_ours_and_for_each_part() -> None:
    several = Result(
        "jpeg", "spawn", 128, [9.0, 2.0, 1.0], [1.0, 0.5, 0.1], [0.1] * 3, [0.4, 9.0, 0.0], [0.2, 0.2, 0.2]
    )
    assert several.ratio == pytest.approx(2.0 / (0.5 + 0.1 + 0.4))


def test_the_table_says_in_milliseconds_what_was_measured_and_what_it_comes_to() -> None:
    row = table([result(0.3)]).splitlines()[-1]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == ["8kb", "fork", "auto", "300", "(300-300)", "50", "100", "50", "1.50", "no", "200"]


def test_torchs_samples_are_there_at_once_and_carry_the_decoder_that_ours_carry() -> None:
    instant = Instant("8kb", 3)
    assert len(instant) == 3
    assert instant[0].shape == (1,)
    assert instant._decoding.keys() == {"decoder"}


def test_a_child_that_fails_is_an_error_that_says_which_and_why() -> None:
    order = Order(TORCHS, "no such method", "8kb", "", "", "", "")
    with pytest.raises(
        RuntimeError, match=r"torch's, samples at once \(8kb, no such method\): exit code 1: ValueError"
    ):
        run_child(order)


def test_a_run_times_everything_and_prints_a_row_for_each_number_of_fetch_workers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_EC2_METADATA_DISABLED"):
        monkeypatch.setenv(name, "")  # put back afterwards, whatever the run sets
    arguments = ["--kinds", "8kb", "--methods", "fork", "--latency-ms", "0", "--rounds", "1"]
    assert main([*arguments, "--fetch-workers", "auto", "4"]) in (0, 1)
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split("|")[3].strip() for row in rows] == ["auto", "4"]


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["--latency-ms", "-1"], ["--fetch-workers", "many"]])
def test_figures_that_make_no_sense_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(arguments)
