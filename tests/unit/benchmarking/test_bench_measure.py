"""What the benchmark makes of the times at which batches arrive."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarking.bench.measure import consume, measure, percentile, steady_rate


class Clock:
    """A clock that moves only when a batch is made or worked on."""

    def __init__(self, work_s: float = 0.0) -> None:
        self.now_s = 0.0
        self.work_s = work_s

    def __call__(self) -> float:
        return self.now_s

    def batches(self, gaps_s: list[float]) -> Iterator[int]:
        for number, gap_s in enumerate(gaps_s):
            self.now_s += gap_s
            yield number

    def work(self, _: float) -> None:
        self.now_s += self.work_s


@pytest.mark.parametrize(
    ("times_s", "wave", "batches_per_s"),
    [
        pytest.param([5.0, 6.0, 7.0], 1, 1.0, id="start-up is left out"),
        pytest.param([1.0, 1.0, 2.0, 2.0, 3.0, 3.0], 2, 2.0, id="from the end of a wave to the end of another"),
        pytest.param([1.0, 1.0, 2.0, 2.0, 2.1], 2, 2.0, id="a wave that is not whole does not count"),
        pytest.param([1.0, 1.0, 2.0, 2.0, 2.1, 2.1], 2, 2.0, id="the last wave, which began earlier, does not count"),
        pytest.param([1.0, 1.0, 1.5, 1.5], 2, 4.0, id="of two waves the last counts, since there is no other"),
    ],
)
def test_the_steady_rate_is_taken_between_the_ends_of_waves(
    times_s: list[float], wave: int, batches_per_s: float
) -> None:
    assert steady_rate(times_s, wave) == pytest.approx(batches_per_s)


def test_a_rate_from_fewer_than_two_waves_is_refused() -> None:
    with pytest.raises(ValueError, match="3 batches hold no two waves of 2"):
        steady_rate([1.0, 2.0, 3.0], 2)


@pytest.mark.parametrize(
    ("max_s", "taken", "stopped_early"),
    [
        pytest.param(2.5, 6, True, id="cut at the end of the wave in which time was up"),
        pytest.param(100.0, 8, False, id="time enough"),
        pytest.param(0.5, 4, True, id="two waves at least"),
        pytest.param(5.5, 8, False, id="time was up with the last batch"),
    ],
)
def test_a_run_is_cut_at_the_end_of_a_wave(max_s: float, taken: int, stopped_early: bool) -> None:
    clock = Clock()
    arrivals = consume(clock.batches([1.0] * 8), batches=8, wave=2, max_s=max_s, on_batch=clock.work, clock=clock)
    assert arrivals.times_s == [float(number) for number in range(1, taken + 1)]
    assert arrivals.stopped_early is stopped_early


def test_the_consumers_own_time_is_no_waiting() -> None:
    clock = Clock(work_s=7.0)
    arrivals = consume(clock.batches([3.0, 0.5, 0.0]), batches=3, wave=1, max_s=100.0, on_batch=clock.work, clock=clock)
    assert arrivals.waits_s == [3.0, 0.5, 0.0]
    assert arrivals.times_s == [3.0, 10.5, 17.5]


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 50.0, 99.0, 100.0]


def test_a_measurement_counts_samples_and_the_cpu_time_that_was_spent() -> None:
    def work() -> Iterator[int]:
        for _ in range(4):
            yield sum(range(300_000))

    found = measure(work, batches=4, batch_size=16, wave=1, max_s=60.0)
    assert (found.samples, found.stopped_early) == (64, False)
    assert 0.0 < found.cpu_s <= found.process_cpu_s
    assert 0.0 < found.first_batch_s <= 64 / found.overall_samples_per_s
    assert found.main_rss_mib > 1.0
