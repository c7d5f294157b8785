"""Imports that forked workers find done."""

from __future__ import annotations

import multiprocessing
from importlib import import_module


def import_before_fork(*modules: str) -> None:
    """Imports modules if processes are forked on this system, unless the program has chosen another start method.

    Each worker would else import them for itself, at every start, before its first request; botocore alone takes 0.1 s.
    Nothing is made of them here: sessions and clients belong to one process.
    """
    method = multiprocessing.get_start_method(allow_none=True)  # without settling on one in the user's place
    if (method or multiprocessing.get_all_start_methods()[0]) == "fork":
        for module in modules:
            import_module(module)
