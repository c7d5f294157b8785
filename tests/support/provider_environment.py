"""Keeps the machine's own accounts at Google and Azure, and its instance role, out of tests."""

from __future__ import annotations

import os

import pytest

TOKEN = "dummy-token"


def isolate_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves dummy tokens as the only credentials: with them nothing is asked of a metadata service."""
    for name in list(os.environ):
        if name.startswith(("GOOGLE_", "AZURE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GOOGLE_BEARER_TOKEN", TOKEN)
    monkeypatch.setenv("AZURE_STORAGE_TOKEN", TOKEN)
