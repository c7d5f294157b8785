"""From seconds to a table, and to whether the first batch came soon enough."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from benchmarking.bench.summary import markdown
from benchmarking.startup.turns import Result

MOST_RATIO = 1.3  # issue 4
HEADER = (
    *("objects", "start", "fetch workers", "first batch ms", "(min-max)"),
    *("worker start", "+ round trip", "+ processing", "ratio", f"<= {MOST_RATIO}", "made ms"),
)


def judge(result: Result) -> bool:
    """Whether the first batch came in at most `MOST_RATIO` times the bound."""
    return result.ratio <= MOST_RATIO


def table(results: Iterable[Result]) -> str:
    """Returns the medians in milliseconds as a Markdown table."""
    return markdown(HEADER, map(_row, results))


def _row(result: Result) -> tuple[str, ...]:
    return (
        result.kind,
        result.start_method,
        str(result.fetch_workers),
        _ms(median(result.ours_s)),
        f"({_ms(min(result.ours_s))}-{_ms(max(result.ours_s))})",
        *(_ms(median(part)) for part in (result.start_s, result.round_trip_s, result.processing_s)),
        f"{result.ratio:.2f}",
        "yes" if judge(result) else "no",
        _ms(median(result.made_s)),
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f}"
