"""What all stores understand by a range of a body."""

from __future__ import annotations

import re

from concurrent_dataloader._base.errors import OptionError, StorageError


class RangesIgnored(StorageError):
    """The store answered with the whole object, or with another range than was asked for."""


class RangePastEnd(StorageError):
    """The object ends before the range begins."""


def check_range(start: int, end: int) -> None:
    """Raises OptionError unless ``0 <= start < end``: HTTP cannot ask for an empty range."""
    if not 0 <= start < end:
        raise OptionError(f"start, end: expected 0 <= start < end, got {start} and {end}")


def past_end_message(start: int, size_bytes: int) -> str:
    """Says that a range starts where the body has ended."""
    return f"a range from byte {start} was asked for, the body has {size_bytes} bytes"


def size_of_whole(content_range: str | None, start: int, end: int) -> int | None:
    """Returns the object's size in bytes from the Content-Range header of the answer to a range.

    None means that the answer is not what was asked for: it has no such header, or the range starts elsewhere, or ends
    neither where it should nor with the object.
    """
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", content_range or "")
    if found is None:
        return None
    first, last, size_bytes = map(int, found.groups())
    return size_bytes if first == start and last + 1 == min(end, size_bytes) else None
