"""The tables of what was measured."""

from __future__ import annotations

from statistics import median
from typing import Any

from benchmarking.adaptive.concurrency import FIXED, MOST_TIMES, NEAR, Comparison
from benchmarking.adaptive.tail import Tail
from benchmarking.adaptive.throttle import Throttled
from benchmarking.bench.summary import markdown

LEAST_HEDGED, MOST_REQUESTS_HEDGED = 0.8, 1.05
LEAST_GOODPUT, MOST_REQUESTS_THROTTLED = 0.85, 1.2


def tables(cells: dict[str, dict[str, Any]]) -> str:
    """Returns all tables, for the cells of a results file."""
    parts = []
    if cells.get("auto"):
        header = ("objects", *map(str, FIXED), "auto", "auto / best", "auto's limit", "in flight", "needed", "verdict")
        rows = [_auto_row(name, Comparison(**_numbers(cell))) for name, cell in cells["auto"].items()]
        parts.append(markdown(header, rows))
    if cells.get("tail"):
        header = (
            "setting",
            "no tail",
            "hedged",
            "unhedged",
            "hedged / no tail",
            "hedged / unhedged",
            "requests",
            "wrong",
        )
        rows = [_tail_row(name, Tail(**cell)) for name, cell in cells["tail"].items()]
        parts.append(markdown((*header, "verdict"), rows))
    if cells.get("throttle"):
        header = ("setting", "allowed", "goodput", "goodput / allowed", "requests", "free", "recovery s", "wrong")
        rows = [_throttle_row(name, Throttled(**cell)) for name, cell in cells["throttle"].items()]
        parts.append(markdown((*header, "verdict"), rows))
    return "\n\n".join(parts)


def _numbers(cell: dict[str, Any]) -> dict[str, Any]:
    """JSON's keys are text."""
    return {**cell, "fixed": {int(number): rates for number, rates in cell["fixed"].items()}}


def _auto_row(name: str, found: Comparison) -> tuple[str, ...]:
    fixed = [f"{median(found.fixed[number]):.0f}" for number in FIXED]
    return (
        name,
        *fixed,
        f"{median(found.auto):.0f}",
        f"{found.ratio:.2f}",
        f"{median(found.limits):.0f}",
        f"{median(found.in_flight):.0f}",
        str(found.needed),
        _verdict(found.ratio >= NEAR and found.times <= MOST_TIMES),
    )


def _tail_row(name: str, found: Tail) -> tuple[str, ...]:
    plain, hedged, unhedged = median(found.plain), median(found.hedged), median(found.unhedged)
    requests = median(found.requests)
    reached = hedged >= LEAST_HEDGED * plain and requests <= MOST_REQUESTS_HEDGED and not found.wrong
    return (
        name,
        f"{plain:.0f}",
        f"{hedged:.0f}",
        f"{unhedged:.0f}",
        f"{hedged / plain:.2f}",
        f"{hedged / unhedged:.1f}",
        f"{requests:.3f}",
        str(found.wrong),
        _verdict(reached),
    )


def _throttle_row(name: str, found: Throttled) -> tuple[str, ...]:
    allowed, goodput, requests = median(found.allowed), median(found.goodput), median(found.requests)
    reached = goodput >= LEAST_GOODPUT * allowed and requests <= MOST_REQUESTS_THROTTLED and not found.wrong
    recovery = ", ".join("not" if each is None else f"{each:.1f}" for each in found.recovery_s)
    return (
        name,
        f"{allowed:.0f}",
        f"{goodput:.0f}",
        f"{goodput / allowed:.2f}",
        f"{requests:.2f}",
        f"{median(found.free):.0f}",
        recovery,
        str(found.wrong),
        _verdict(reached),
    )


def _verdict(reached: bool) -> str:
    return "reached" if reached else "missed"
