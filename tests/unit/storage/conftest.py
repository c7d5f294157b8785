"""What the tests of the stores share."""

from __future__ import annotations

from pathlib import Path

import pytest
from large_bodies import lower_the_bounds


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for a cache, not made yet."""
    return tmp_path / "cache"


@pytest.fixture
def low_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large objects begin at 100,000 bytes."""
    lower_the_bounds(monkeypatch)
