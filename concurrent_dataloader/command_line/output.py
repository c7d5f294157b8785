"""Where a command's words go: results to standard output, messages to standard error."""

from __future__ import annotations

import sys

PROGRAM = "concurrent-dataloader"


def say(text: str) -> None:
    """Writes a line of results to standard output."""
    sys.stdout.write(f"{text}\n")


def tell(text: str) -> None:
    """Writes a message to the user, in one line, to standard error."""
    sys.stderr.write(f"{PROGRAM}: {' '.join(text.split())}\n")
