"""Takes secrets out of what others wrote, before it gets into a message."""

from __future__ import annotations

import re

_DETAIL_LIMIT = 300  # characters: room for a status, an error code and its sentence


def scrub(text: str) -> str:
    """Returns the text as one short line without URL queries (signatures) and without credentials in URLs."""
    text = re.sub(r"(?<=//)[^/@\s]+@", "***@", text)
    text = re.sub(r"(?<=\S)\?[^\s\"'>)]*=[^\s\"'>)]*", "?***", text)
    text = " ".join(text.split())
    return text if len(text) <= _DETAIL_LIMIT else text[: _DETAIL_LIMIT - 1] + "…"
