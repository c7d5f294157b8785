"""A broken connection of the thread that hands tensors on is not printed; all else is."""

from __future__ import annotations

import sys
from multiprocessing import resource_sharer

import pytest

from concurrent_dataloader.dataloader_mod.unfetched import be_silent_of_unfetched_tensors

SERVE = """
try:
    raise error
except BaseException:
    sys.excepthook(*sys.exc_info())
"""


@pytest.fixture
def shown(monkeypatch):
    errors = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, traceback: errors.append(error))
    be_silent_of_unfetched_tensors()
    return errors


def raised(error, module):
    """Raises in a module and shows it, as the sharer's thread does."""
    names = {"__name__": module, "error": error, "sys": sys}
    exec(SERVE, names)


@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), ConnectionResetError(), EOFError()])
def test_that_nobody_fetches_a_tensor_is_not_shown(shown, error):
    raised(error, resource_sharer.__name__)
    assert shown == []


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), KeyError(7), MemoryError()])
def test_what_else_befalls_the_sharer_is_shown(shown, error):
    raised(error, resource_sharer.__name__)
    assert shown == [error]


def test_a_broken_connection_of_the_users_own_is_shown(shown):
    error = BrokenPipeError()
    raised(error, "somewhere.else")
    assert shown == [error]
