"""The calling thread's own state, which the threads of a pool would not have: what torch and Python keep per thread."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable

import torch


class CallerState:
    """The state of the thread that makes it, for other threads to run in.

    That is torch's gradient and inference mode and its default device, and Python's context variables, where NumPy
    keeps its ``errstate``. Under ``torch.no_grad()`` a dataset that computes would otherwise give other samples.
    """

    def __init__(self) -> None:
        self._grad, self._inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        self._device = torch.get_default_device()
        self._context = contextvars.copy_context()

    def run(self, body: Callable[[], None]) -> None:
        """Runs the body of a thread in that state."""
        with torch.inference_mode() if self._inference else contextlib.nullcontext():
            torch.set_grad_enabled(self._grad)
            if self._device != torch.get_default_device():
                torch.set_default_device(self._device)
            self.context().run(body)

    def context(self) -> contextvars.Context:
        """Returns a copy of the context variables: two threads cannot be in one context at once."""
        return self._context.copy()
