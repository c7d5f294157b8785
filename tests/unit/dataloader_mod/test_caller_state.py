"""What a pool does with the state of the thread that makes it."""

from __future__ import annotations

import contextvars

import numpy as np
import pytest
import torch
from engine_parts import new_pool, take

from concurrent_dataloader.dataloader_mod.pending import Fetch

VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


def state(index=None):
    modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.empty(()).is_inference()
    return (*modes, torch.empty(()).device.type, VARIABLE.get(), np.geterr()["divide"])


async def state_on_a_loop(index):
    return state()


def state_in_pool(is_async):
    pool = new_pool(state_on_a_loop if is_async else state, 2, is_async=is_async)
    fetches = [Fetch(index) for index in range(6)]
    pool.submit(fetches)
    found = {take(fetch) for fetch in fetches}
    pool.close()
    return found


@pytest.mark.parametrize("is_async", [False, True], ids=["threads", "tasks"])
@pytest.mark.parametrize(
    "scope",
    [torch.no_grad, torch.inference_mode, lambda: torch.device("meta"), lambda: np.errstate(divide="raise")],
    ids=["no_grad", "inference_mode", "device", "errstate"],
)
def test_a_fetch_finds_the_callers_state(scope, is_async):
    plain = state()
    with scope():
        expected = state()
        assert expected != plain
        assert state_in_pool(is_async) == {expected}
    assert state_in_pool(is_async) == {plain}


@pytest.mark.parametrize("is_async", [False, True], ids=["threads", "tasks"])
def test_a_fetch_finds_the_callers_context_variables_and_cannot_change_them(is_async):
    token = VARIABLE.set("set")
    try:
        assert {found[4] for found in state_in_pool(is_async)} == {"set"}
    finally:
        VARIABLE.reset(token)
