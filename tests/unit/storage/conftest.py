"""What the tests of the stores share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for a cache, not made yet."""
    return tmp_path / "cache"
