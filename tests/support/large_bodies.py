"""Bodies and bounds for tests of large objects, so that they need not send gigabytes."""

from __future__ import annotations

import os

import pytest

from concurrent_dataloader.storage import large_objects

LARGE_FROM_BYTES = 100_000
LARGE = os.urandom(10 * LARGE_FROM_BYTES + 1)
SMALL = os.urandom(1_000)


def lower_the_bounds(monkeypatch: pytest.MonkeyPatch, large_from_bytes: int = LARGE_FROM_BYTES) -> None:
    """Lets large objects begin at a size, and parts have it at most."""
    for name in ("LARGE_BYTES", "LARGE_UNLISTED_BYTES", "PART_BYTES"):
        monkeypatch.setattr(large_objects, name, large_from_bytes)
