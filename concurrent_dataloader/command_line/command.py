"""What a command is: its name, its arguments, and what it does."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass

EXIT_OK = 0
EXIT_FAILED = 1  # the library raised an error, or a check found something
EXIT_WRONG_USE = 2  # argparse's own code for it
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


@dataclass(frozen=True, slots=True)
class Command:
    """One command of the command line.

    Attributes:
        name: The word that calls it.
        summary: What it does, in one line.
        add_arguments: Adds its arguments to its parser.
        run: Does it and returns the exit code; what it raises of the library's errors is shown in one line.
    """

    name: str
    summary: str
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]
