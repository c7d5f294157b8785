"""What goes wrong at the endpoint at a time: one kind of fault, several, or none."""

from __future__ import annotations

import random
from typing import Any

from benchmarking.endpoint import Fault

SECONDS = 1.5
"""How long a weather lasts."""

_FAIR: dict[str, Any] = {"latency_s": 0.01, "tail_fraction": 0.0, "max_requests_per_s": None, "faults": ()}
_STORM = (
    Fault("status", status=503, fraction=0.04),
    Fault("status", status=429, fraction=0.03, retry_after_s=0),
    Fault("status", status=500, fraction=0.03),
    Fault("reset", fraction=0.03),
    Fault("reset", at_byte=700, fraction=0.03),
    Fault("short", missing_bytes=9, fraction=0.03),
    Fault("long", fraction=0.02),
    Fault("stuck", fraction=0.01),
    Fault("stuck", at_byte=50, fraction=0.01),
    Fault("drip", bytes_per_s=20_000.0, fraction=0.01),
)
_WEATHERS: tuple[dict[str, Any], ...] = (
    {},
    {"faults": (Fault("status", status=503, limit=60),)},  # a burst
    {"faults": (Fault("status", status=503, fraction=0.3), Fault("status", status=429, fraction=0.1))},
    {"max_requests_per_s": 150.0},
    {"faults": (Fault("reset", fraction=0.1), Fault("reset", at_byte=3_000, fraction=0.1))},
    {"faults": (Fault("short", missing_bytes=1, fraction=0.1), Fault("long", fraction=0.05))},
    {"tail_fraction": 0.05, "tail_extra_s": 0.4},
    {"faults": (Fault("stuck", fraction=0.03), Fault("stuck", at_byte=100, fraction=0.03))},
    {"faults": (Fault("drip", bytes_per_s=30_000.0, fraction=0.05),)},
    {"faults": (Fault("status", status=500, key="part-3/*"),)},  # a part of the keys fails for good
    {"faults": (Fault("status", status=403, key="part-5/*", fraction=0.3),)},
    {"faults": _STORM, "tail_fraction": 0.02, "tail_extra_s": 0.3},
    {"faults": _STORM, "tail_fraction": 0.02, "tail_extra_s": 0.3},
)


def next_weather(draw: random.Random) -> dict[str, Any]:
    """Returns settings of the endpoint that replace those of the weather before."""
    return {**_FAIR, "tail_extra_s": 0.0, **draw.choice(_WEATHERS)}
