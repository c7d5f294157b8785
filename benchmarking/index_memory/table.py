"""The figures as a Markdown table."""

from __future__ import annotations

from typing import NamedTuple

from benchmarking.index_memory.child import Figures

_HEADINGS = (
    "keys",
    "keys in",
    "workers by",
    "MB before",
    "peak MB while parsing",
    "MB after the first start (file pages)",
    "MB after the next (file pages)",
    "private MB added per worker",
    "first start s",
    "next start s",
    "workers' start s",
    "pickle bytes",
    "pickle ms",
    "ns per key",
)
_NAMES = {"ours": "`KeyIndex`", "torch": "list of strings"}


class Row(NamedTuple):
    """One subject under one start method.

    Attributes:
        subject: Which.
        method: How its workers were started.
        key_count: Number of keys.
        first: The first start, without workers: it parses.
        again: The next start, with workers.
        baseline: The same as ``again`` with hardly any keys.
    """

    subject: str
    method: str
    key_count: int
    first: Figures
    again: Figures
    baseline: Figures

    @property
    def added_mb(self) -> float:
        """Private memory of a worker that is due to the keys, in megabytes."""
        return (self.again.worker_mb or 0.0) - (self.baseline.worker_mb or 0.0)


def table(rows: list[Row]) -> str:
    """Returns the rows as Markdown; memory in megabytes (10 ** 6 bytes)."""
    lines = [_HEADINGS, ["---"] * len(_HEADINGS), *map(_cells, rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cells(row: Row) -> list[str]:
    first, again = row.first, row.again
    return [
        f"{row.key_count:,}",
        _NAMES[row.subject],
        row.method,
        f"{first.before_mb:.0f}",
        f"{first.peak_mb:.0f}",
        f"{first.after_mb:.0f} ({first.after_file_mb:.0f})",
        f"{again.after_mb:.0f} ({again.after_file_mb:.0f})",
        f"{row.added_mb:.1f}",
        f"{first.load_s:.2f}",
        f"{again.load_s:.2f}",
        f"{again.start_s:.2f}",
        f"{again.pickle_bytes:,}",
        f"{again.pickle_ms:.1f}",
        f"{again.read_ns:.0f}",
    ]
