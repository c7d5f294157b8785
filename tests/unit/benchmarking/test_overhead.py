"""The CPU that an object takes: every object is read by both readers, and wrong options are told."""

from __future__ import annotations

import pytest

from benchmarking.overhead import ALONE, OURS, WARM_UP, main


def test_both_readers_have_a_row_for_each_latency(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--size-kb", "1", "--objects", str(2 * WARM_UP), "--latencies-ms", "0", "5", "--rounds", "1"]
    assert main(arguments) in (0, 1)  # a busy machine may be slow
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()[4:]]
    assert [row[:2] for row in rows] == [["0 ms", OURS], ["0 ms", ALONE], ["5 ms", OURS], ["5 ms", ALONE]]
    assert all(0 < float(row[2]) < 100_000 for row in rows)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--rounds", "0"], "must be positive"),
        (["--latencies-ms", "-1"], "latencies not negative"),
        (["--objects", str(WARM_UP)], f"must be above {WARM_UP}"),
    ],
)
def test_a_wrong_option_ends_with_the_reason(
    wrong: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(wrong)
    assert message in capsys.readouterr().err
