"""What the tests of the stores share."""

from __future__ import annotations

from pathlib import Path

import pytest
from large_bodies import lower_the_bounds
from short_pauses import shorten_pauses


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for a cache, not made yet."""
    return tmp_path / "cache"


@pytest.fixture
def low_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large objects begin at 100,000 bytes."""
    lower_the_bounds(monkeypatch)


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow one another at once."""
    shorten_pauses(monkeypatch)
