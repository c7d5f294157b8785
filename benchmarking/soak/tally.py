"""What a soak run counts, and how it is judged and shown."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

FAULTS_OF_OURS = ("lost", "doubled", "reordered", "wrong", "untold", "leaked", "hung")
"""What must be zero. ``wrong``: other bytes than the object's. ``untold``: an error of another type than promised.
``hung``: a voyage that did not end in time."""


@dataclass
class Tally:
    """Counts of one voyage or of many.

    Attributes:
        counts: Samples, batches, loaders, retries and so on, and `FAULTS_OF_OURS`, by name.
        errors: Errors that reached the caller, as promised, by type.
        remarks: What to look at where a count that must be zero is not.
    """

    counts: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Takes in another's counts."""
        self.counts.update(other.counts)
        self.errors.update(other.errors)
        self.remarks += other.remarks

    def complain(self, kind: str, remark: str, count: int = 1) -> None:
        """Counts what must not be."""
        self.counts[kind] += count
        self.remarks.append(f"{kind}: {remark}")

    @property
    def is_clean(self) -> bool:
        """Whether samples were read, and nothing went wrong with any of them."""
        return self.counts["samples"] > 0 and not any(self.counts[kind] for kind in FAULTS_OF_OURS)

    def report(self, endpoint_faults: dict[str, int], statuses: dict[str, int]) -> str:
        """Returns the table that a run ends with.

        Args:
            endpoint_faults: Faults that the endpoint has made, by action.
            statuses: Its answers by HTTP status.
        """
        shown = {"faults made": endpoint_faults, "HTTP answers": statuses, "errors told": dict(self.errors)}
        lines = [f"{name:<14}{self.counts[name]:>10}" for name in _SHOWN]
        for title, counts in shown.items():
            lines += [title, *(f"  {name:<24}{count:>8}" for name, count in sorted(counts.items()))]
        lines += [" ".join(f"{kind} = {self.counts[kind]}" for kind in FAULTS_OF_OURS)]
        return "\n".join(lines + self.remarks[:_MOST_REMARKS])


_MOST_REMARKS = 20
_SHOWN = (
    *("loaders", "epochs", "breaks", "kills", "left_by_killed", "batches", "samples", "skipped", "replaced"),
    *("fetches", "retries", "throttled", "hedges", "hedges_won"),
)
