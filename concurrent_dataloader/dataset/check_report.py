"""What checking a data set found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

SHOWN_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: Its short name, for programs: ``"undecodable"``.
        count: Of how many keys, classes or objects.
        problem: What is wrong with them, in words.
        examples: The first few, each with the reason where there is one.
        fix: What to do about it.
    """

    kind: str
    count: int
    problem: str
    examples: tuple[str, ...]
    fix: str


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of the objects that were read, in bytes.

    Attributes:
        min_bytes: Of the smallest.
        median_bytes: Half of them are no larger.
        max_bytes: Of the largest.
    """

    min_bytes: int
    median_bytes: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `check_dataset` found.

    Attributes:
        keys: Keys of the index.
        duplicate_keys: Keys that repeat an earlier one; they are allowed.
        class_entries: Entries of the classes file; None without one.
        sampled: Objects that were read.
        sizes: Their sizes; None if none could be read.
        findings: What is wrong, if anything.
    """

    keys: int
    duplicate_keys: int
    class_entries: int | None
    sampled: int
    sizes: Sizes | None
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def as_json(self) -> dict[str, Any]:
        """Returns the report as plain values, ``"ok"`` first."""
        return {"ok": self.ok, **asdict(self)}


class Wording(NamedTuple):
    """How a kind of finding is put: ``problem`` and ``fix`` of `Finding`."""

    problem: str
    fix: str


class FindingCollector:
    """Counts what is wrong, by kind, and keeps the first examples.

    Args:
        wordings: Of each kind; findings come in this order.
    """

    def __init__(self, wordings: dict[str, Wording]) -> None:
        self._wordings = wordings
        self._counts = dict.fromkeys(wordings, 0)
        self._examples: dict[str, list[str]] = {kind: [] for kind in wordings}

    def add(self, kind: str, example: str) -> None:
        """Notes one more of a kind."""
        self._counts[kind] += 1
        if len(self._examples[kind]) < SHOWN_EXAMPLES:
            self._examples[kind].append(example)

    def findings(self) -> list[Finding]:
        """Returns a finding for each kind that was noted."""
        return [
            Finding(kind, count, wording.problem, tuple(self._examples[kind]), wording.fix)
            for kind, wording in self._wordings.items()
            if (count := self._counts[kind])
        ]
