"""What this process holds of the machine's memory, in megabytes (10 ** 6 bytes), as Linux counts it."""

from __future__ import annotations

import re
from pathlib import Path

_FIELD = re.compile(r"^(\w+):\s+(\d+) kB$", re.MULTILINE)


def forget_peak() -> None:
    """Has the peak counted from now on."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # proc(5): resets VmHWM


def peak_mb() -> float:
    """Returns the largest resident set since `forget_peak`, or since the start: shared file pages included."""
    return _fields("status")["VmHWM"]


def resident_mb() -> tuple[float, float]:
    """Returns the resident set, and what of it are pages of files, which all processes share."""
    fields = _fields("status")
    return fields["VmRSS"], fields["RssFile"]


def private_mb() -> float:
    """Returns the pages that no other process holds, whether they were written to or not."""
    fields = _fields("smaps_rollup")
    return fields["Private_Clean"] + fields["Private_Dirty"]


def _fields(name: str) -> dict[str, float]:
    text = Path("/proc/self", name).read_text(encoding="ascii")
    return {field: int(kilobytes) * 1024 / 1e6 for field, kilobytes in _FIELD.findall(text)}
