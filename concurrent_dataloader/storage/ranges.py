"""What all stores understand by a range of a body."""

from __future__ import annotations

from concurrent_dataloader._base.errors import OptionError


def check_range(start: int, end: int) -> None:
    """Raises OptionError unless ``0 <= start < end``: HTTP cannot ask for an empty range."""
    if not 0 <= start < end:
        raise OptionError(f"start, end: expected 0 <= start < end, got {start} and {end}")


def past_end_message(start: int, size_bytes: int) -> str:
    """Says that a range starts where the body has ended."""
    return f"a range from byte {start} was asked for, the body has {size_bytes} bytes"
