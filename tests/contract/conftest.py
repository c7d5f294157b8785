"""What all contract tests share."""

from __future__ import annotations

import pytest
import torch
from contract_loaders import LOADERS
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter


@pytest.fixture(autouse=True, scope="module")
def impatient_torch():
    """torch waits 5 s for each worker that does not end by itself, and as long until it looks whether one is dead.

    For a module and not for a test, since an iterator that an error's traceback holds is collected between two tests.
    """
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.5)
        monkeypatch.setattr(_MultiProcessingDataLoaderIter._try_get_data, "__defaults__", (0.5,))
        yield


@pytest.fixture(params=LOADERS)
def loader(request):
    """torch's loader class and ours, one after the other."""
    return LOADERS[request.param]
