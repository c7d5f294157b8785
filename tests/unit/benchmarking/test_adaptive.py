from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarking.adaptive.__main__ import main
from benchmarking.adaptive.concurrency import Comparison
from benchmarking.adaptive.objects import NUMBER_BYTES, OrderCheck, make_bodies, make_order
from benchmarking.adaptive.run import Look, Trace


def test_a_sample_that_is_not_the_one_whose_turn_it_is_counts_as_wrong() -> None:
    bodies = list(make_bodies("8kb", 4).values())
    batch = torch.stack([torch.frombuffer(bytearray(body), dtype=torch.uint8) for body in bodies])
    check = OrderCheck([0, 1, 3, 3])
    check.look(batch)
    assert check.wrong == 1
    assert batch.shape[1] > NUMBER_BYTES


def test_every_epoch_of_an_order_holds_each_object_once() -> None:
    order = make_order(8, seed=1)
    assert sorted(order[:8]) == sorted(order[8:16]) == list(range(8))


def test_needed_is_the_smallest_number_within_a_tenth_of_the_best() -> None:
    found = Comparison({8: [50.0], 16: [91.0], 32: [100.0]}, auto=[95.0], limits=[24.0], in_flight=[20.0])
    assert (found.best, found.needed, found.ratio, found.times) == (32, 16, 0.95, 1.5)
    assert found.hopeless(8)
    assert not found.hopeless(16)


def test_a_rate_is_taken_between_two_looks_and_a_run_that_is_too_short_is_refused() -> None:
    trace = Trace([Look(second, 100 * second, 90 * second, 8, 8, 0) for second in range(5)])
    assert trace.rate(1, 3) == 100
    assert trace.rate(1, 3, of="samples") == 90
    assert trace.first_s(100, 2, 1) == 2
    with pytest.raises(ValueError, match="the run ended"):
        trace.rate(1, 9)


def test_without_measurements_there_is_nothing_to_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["show", "--results", str(tmp_path / "none.json")])
    assert capsys.readouterr().out == "\n"
