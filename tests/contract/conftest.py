"""What all contract tests share."""

from __future__ import annotations

import pytest
import torch
from contract_loaders import LOADERS


@pytest.fixture(autouse=True)
def impatient_torch(monkeypatch):
    """torch waits 5 s for each worker that does not end by itself, and tests end many of them by force."""
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.5)


@pytest.fixture(params=LOADERS)
def loader(request):
    """torch's loader class and ours, one after the other."""
    return LOADERS[request.param]
