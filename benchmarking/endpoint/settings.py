"""How the endpoint behaves: one frozen set of values, given at its start and changed while it runs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from benchmarking.endpoint.faults import Fault, faults_from_json


@dataclass(frozen=True)
class EndpointSettings:
    """What the endpoint adds to a plain answer.

    Attributes:
        latency_s: Seconds added before every answer to GET, HEAD and LIST.
        latency_jitter: The latency varies evenly by this share of itself to both sides; 0: always the same.
        tail_fraction: Share of the GETs of objects that are slow, drawn with `seed`.
        tail_extra_s: Seconds added to those.
        max_requests_per_s: More object requests and listings per second than this get 503 SlowDown; None: no limit.
        max_in_flight: So do those that come while this many are being served; None: no limit.
        access_key: Requests whose Authorization header names another access key get 403; None: all may.
        session_token: Requests with another X-Amz-Security-Token get 400 ExpiredToken; None: any will do.
        seed: Seed of all draws.
        faults: Scripted faults; the first that fits a request is applied.
    """

    latency_s: float = 0.0
    latency_jitter: float = 0.0
    tail_fraction: float = 0.0
    tail_extra_s: float = 1.0
    max_requests_per_s: float | None = None
    max_in_flight: int | None = None
    access_key: str | None = dataclasses.field(default=None, repr=False)
    session_token: str | None = dataclasses.field(default=None, repr=False)
    seed: int = 0
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        """Checks the values; faults in JSON's form become `Fault`.

        Raises:
            ValueError: A value is out of its range.
        """
        object.__setattr__(self, "faults", faults_from_json(self.faults))
        for name in ("latency_s", "tail_extra_s"):
            if not getattr(self, name) >= 0.0:
                raise ValueError(f"{name} must be zero or more seconds, got {getattr(self, name)!r}")
        for name in ("latency_jitter", "tail_fraction"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be within 0 and 1, got {getattr(self, name)!r}")
        for name in ("max_requests_per_s", "max_in_flight"):
            limit = getattr(self, name)
            if limit is not None and not limit > 0:
                raise ValueError(f"{name} must be positive or None, got {limit!r}")

    def changed(self, changes: dict[str, Any]) -> EndpointSettings:
        """Returns a copy with some values replaced.

        Raises:
            ValueError: A name is unknown, or a value is out of its range or of the wrong type.
        """
        unknown = changes.keys() - {field.name for field in dataclasses.fields(self)}
        if unknown:
            raise ValueError(f"unknown endpoint settings: {', '.join(sorted(unknown))}")
        try:
            return dataclasses.replace(self, **changes)
        except TypeError as error:
            raise ValueError(f"an endpoint setting has the wrong type: {error}") from error
