"""Takes secrets out of what others wrote, before it gets into a message."""

from __future__ import annotations

import re

_DETAIL_LIMIT = 300  # characters: room for a status, an error code and its sentence


def shown_uri(uri: object) -> str:
    """Returns how a URI that was refused is shown: whole, or in words where a secret may stand in it.

    Credentials stand before an ``@``, or where they were taken for a port; signatures and tokens behind a ``?`` or
    a ``#``.
    """
    if not isinstance(uri, str):
        return type(uri).__name__
    _, separator, rest = uri.partition("://")
    if any(mark in uri for mark in "@?#") or ":" in (rest if separator else uri):
        return "one that is not shown here, as it may hold a secret"
    return repr(uri)


def scrub(text: str) -> str:
    """Returns the text as one short line without URL queries (signatures) and without credentials in URLs."""
    text = re.sub(r"(?<=//)[^/@\s]+@", "***@", text)
    text = re.sub(r"(?<=\S)\?[^\s\"'>)]*=[^\s\"'>)]*", "?***", text)
    text = " ".join(text.split())
    return text if len(text) <= _DETAIL_LIMIT else text[: _DETAIL_LIMIT - 1] + "…"
