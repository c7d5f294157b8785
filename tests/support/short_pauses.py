"""Retries that hardly pause, for tests of what is retried; how long a pause is belongs to test_retry.py."""

from __future__ import annotations

import pytest

from concurrent_dataloader.storage import obstore_objects, retry

PAUSE_S = 0.01


def shorten_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the pauses between attempts begin and end at 10 ms, in all clients."""
    for module in (retry, obstore_objects):
        monkeypatch.setattr(module, "FIRST_PAUSE_S", PAUSE_S)
        monkeypatch.setattr(module, "MAX_PAUSE_S", PAUSE_S)
