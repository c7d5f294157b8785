"""What the endpoint counts."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class EndpointStats:
    """The endpoint's counters since its start, or since they were last set to zero.

    Attributes:
        requests: Requests by kind: ``"GET"``, ``"HEAD"``, ``"PUT"``, ``"DELETE"`` of objects, ``"LIST"``, ``"BUCKET"``,
            ``"OTHER"``.
        statuses: Answers by HTTP status, as text.
        faults: Scripted faults that were applied, by action.
        body_bytes: Bytes of bodies that were to be sent.
        in_flight: Requests that have come and are not answered yet, now.
        max_in_flight: The largest number of those at any time.
        connections: Open connections, now (the one that asks included).
        cpu_s: CPU seconds of the endpoint's process.
    """

    requests: dict[str, int]
    statuses: dict[str, int]
    faults: dict[str, int]
    body_bytes: int
    in_flight: int
    max_in_flight: int
    connections: int
    cpu_s: float


class Counters:
    """The running counters, kept by the server's only thread."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.serving = 0  # those in flight that were not refused; what a throttle looks at
        self.connections = 0
        self.faults: Counter[str] = Counter()
        self.reset()

    def reset(self) -> None:
        """Sets the sums to zero; what is in flight stays."""
        self._requests: Counter[str] = Counter()
        self._statuses: Counter[int] = Counter()
        self.faults.clear()  # in place: the fault script counts in this very object
        self._body_bytes = 0
        self._max_in_flight = self.in_flight
        self._cpu_start_s = time.process_time()

    def begin(self, kind: str, status: int, body_bytes: int, *, refused: bool) -> None:
        """Counts a request that starts to be answered."""
        self._requests[kind] += 1
        self._statuses[status] += 1
        self._body_bytes += body_bytes
        self.in_flight += 1
        self.serving += not refused
        if self.in_flight > self._max_in_flight:
            self._max_in_flight = self.in_flight

    def end_served(self) -> None:
        """Counts a request as answered, or as given up by the client."""
        self.in_flight -= 1
        self.serving -= 1

    def end_refused(self) -> None:
        """Does the same for one that was refused."""
        self.in_flight -= 1

    def as_dict(self) -> dict[str, Any]:
        """Returns the counters in the form of `EndpointStats`, ready for JSON."""
        stats = EndpointStats(
            requests=dict(self._requests),
            statuses={str(status): count for status, count in self._statuses.items()},
            faults=dict(self.faults),
            body_bytes=self._body_bytes,
            in_flight=self.in_flight,
            max_in_flight=self._max_in_flight,
            connections=self.connections,
            cpu_s=time.process_time() - self._cpu_start_s,
        )
        return dataclasses.asdict(stats)
