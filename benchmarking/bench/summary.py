"""From runs to medians, and from medians to a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarking.bench.runner import Run

HEADER = (
    *("workload", "loader", "samples/s", "(min-max)"),
    *("first batch s", "p99 wait s", "CPU s/1000", "peak MiB", "requests/sample"),
)
ONE_DECIMAL_BELOW = 20.0  # samples per second: what the largest objects reach


@dataclass(frozen=True)
class Medians:
    """Medians of one loader's runs on one workload.

    Attributes:
        workload: The workload's name.
        loader: The loader's name.
        runs: Number of runs that succeeded.
        samples_per_s: After the first wave of batches.
        slowest, fastest: The same of the slowest and of the fastest run.
        first_batch_s: Seconds from ``iter(loader)`` to the first batch.
        wait_p99_s: 99th percentile of the consumer's wait for a batch, after the first wave.
        cpu_s_per_1000: CPU seconds of the loader's processes per 1,000 samples, start-up of the workers included.
        peak_mib: Peak resident memory of the main process and of the largest worker together.
        requests_per_sample: Requests of any kind that the endpoint got, per sample; None: every run was cut.
    """

    workload: str
    loader: str
    runs: int
    samples_per_s: float
    slowest: float
    fastest: float
    first_batch_s: float
    wait_p99_s: float
    cpu_s_per_1000: float
    peak_mib: float
    requests_per_sample: float | None


def summarise(runs: Iterable[Run]) -> list[Medians]:
    """Returns the medians in the order in which loaders first ran, workload by workload; failed runs are left out."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if run.measurement is not None:
            groups.setdefault((run.workload, run.loader), []).append(run)
    return [_medians(workload, loader, group) for (workload, loader), group in groups.items()]


def _medians(workload: str, loader: str, runs: Sequence[Run]) -> Medians:
    measured = [(run, run.measurement) for run in runs if run.measurement is not None]
    requests = [run.requests_per_sample for run, _ in measured if run.requests_per_sample is not None]
    rates = [each.samples_per_s for _, each in measured]
    return Medians(
        workload,
        loader,
        runs=len(measured),
        samples_per_s=median(rates),
        slowest=min(rates),
        fastest=max(rates),
        first_batch_s=median(each.first_batch_s for _, each in measured),
        wait_p99_s=median(each.wait_p99_s for _, each in measured),
        cpu_s_per_1000=median(each.cpu_s / each.samples * 1000 for _, each in measured),
        peak_mib=median(each.main_rss_mib + each.worker_rss_mib for _, each in measured),
        requests_per_sample=median(requests) if requests else None,
    )


def table(medians: Iterable[Medians]) -> str:
    """Returns the medians as a Markdown table."""
    rows = [
        (
            each.workload,
            each.loader,
            _rate(each.samples_per_s),
            f"({_rate(each.slowest)}-{_rate(each.fastest)})",
            f"{each.first_batch_s:.2f}",
            f"{each.wait_p99_s:.3f}",
            f"{each.cpu_s_per_1000:.2f}",
            f"{each.peak_mib:.0f}",
            "cut" if each.requests_per_sample is None else f"{each.requests_per_sample:.3f}",
        )
        for each in medians
    ]
    return markdown(HEADER, rows)


def _rate(samples_per_s: float) -> str:
    return f"{samples_per_s:.1f}" if samples_per_s < ONE_DECIMAL_BELOW else f"{samples_per_s:.0f}"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns rows as a Markdown table with columns of even width, the first two flush left."""
    cells = [header, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if at < 2 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = f"|{'|'.join('-' * (width + 2) for width in widths)}|"
    return "\n".join([line(header), rule, *map(line, cells[1:])])
