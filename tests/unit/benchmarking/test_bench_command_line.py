"""Which workloads and loaders the options of the benchmark stand for."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarking.bench.command_line import parse_arguments, workloads_of
from benchmarking.bench.loaders.protocol import Knobs
from benchmarking.bench.loaders.registry import STANDARD, make_loaders


def names(*arguments: str) -> list[str]:
    """Returns the names of the workloads of a command line."""
    return [each.name for each in workloads_of(parse_arguments(arguments), Path("/objects"), "http://127.0.0.1:9")]


def test_the_standard_run_is_small_objects_and_pictures_without_the_peers() -> None:
    assert names() == ["8kb@0ms", "8kb@100ms", "jpeg@0ms", "jpeg@100ms"]
    assert parse_arguments([]).loaders == list(STANDARD)


def test_the_run_with_peers_has_all_loaders_and_kinds_and_a_throttle_only_where_it_can_bite() -> None:
    assert parse_arguments(["--peers"]).loaders == list(make_loaders(Knobs()))
    found = names("--peers")
    assert [name for name in found if name.startswith("8kb")] == [
        *("8kb@0ms", "8kb@30ms", "8kb@100ms", "8kb@30ms+tail1%", "8kb@30ms+throttle1000")
    ]
    for kind in ("jpeg", "1mb"):
        plain = [f"{kind}@0ms", f"{kind}@30ms", f"{kind}@100ms"]
        assert [name for name in found if name.startswith(kind)] == plain
    assert [name for name in found if name.startswith("64mb")] == ["64mb@30ms"]


def test_what_is_asked_for_is_measured_with_all_kinds() -> None:
    asked = ["--peers", "--kinds", "jpeg", "64mb", "--latencies-ms", "0", "100", "--tail"]
    assert names(*asked) == [
        *("jpeg@0ms", "jpeg@100ms", "jpeg@30ms+tail1%"),
        *("64mb@0ms", "64mb@100ms", "64mb@30ms+tail1%"),
    ]


def test_a_quick_run_is_one_short_round_of_small_objects_unless_other_things_are_asked_for() -> None:
    options = parse_arguments(["--quick"])
    assert (options.kinds, options.rounds, options.seconds) == (["8kb"], 1, 1.0)
    assert names("--quick", "--kinds", "64mb", "--latencies-ms", "5") == ["64mb@5ms"]
    assert parse_arguments(["--quick", "--rounds", "2"]).rounds == 2


def test_a_tail_and_a_throttle_can_be_measured_alone_and_with_other_values() -> None:
    only = ["--kinds", "8kb", "--latencies-ms"]
    assert names(*only, "--tail") == ["8kb@30ms+tail1%"]
    assert names(*only, "--tail", "0.055", "--throttle", "250") == ["8kb@30ms+tail5.5%", "8kb@30ms+throttle250"]


def test_a_kind_of_objects_sets_the_batch_size_and_the_endpoint_is_set_for_each_run() -> None:
    options = parse_arguments(["--kinds", "64mb", "--latencies-ms", "10", "--tail"])
    plain, tail = workloads_of(options, Path("/objects"), "http://127.0.0.1:9")
    assert (plain.batch_size, tail.batch_size) == (2, 2)
    expected = {"latency_s": 0.01, "tail_fraction": 0.0, "tail_extra_s": 1.0, "max_requests_per_s": None}
    assert plain.endpoint_settings() == expected
    assert tail.endpoint_settings() == {**expected, "latency_s": 0.03, "tail_fraction": 0.01}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--rounds", "0"], "rounds, seconds, fetch workers"),
        (["--seconds", "nan"], "rounds, seconds, fetch workers"),
        (["--workers", "-1"], "--workers must be zero or more"),
        (["--workers", "0", "--loaders", "litdata", "torch-disk"], "for litdata"),
        (["--workers", "0", "--loaders", "torch-boto3-8"], "not for torch-boto3-8"),
        (["--latencies-ms", "-1"], "a latency must be zero or more"),
        (["--latencies-ms", "inf"], "a latency must be zero or more"),
        (["--tail", "1.5"], "--tail must be above 0 and at most 1, a share of the GETs, got 1.5"),
        (["--throttle", "0"], "--throttle must be a positive number of requests per second, got 0"),
        (["--latencies-ms", "--kinds", "jpeg", "--throttle"], "no workload"),
        (["--loaders", "no-such-loader"], "invalid choice: 'no-such-loader'"),
    ],
)
def test_a_wrong_option_ends_with_the_usage_and_the_reason(
    wrong: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(wrong)
    printed = capsys.readouterr().err
    assert "usage:" in printed
    assert message in printed
