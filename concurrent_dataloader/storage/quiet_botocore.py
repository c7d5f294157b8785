"""Keeps session tokens out of botocore's logs: at DEBUG it writes down whole requests, headers included."""

from __future__ import annotations

import logging
import re

# Those that write headers or bodies; aiobotocore shares them. A filter works for its own logger alone.
_LOGGERS = ("botocore.auth", "botocore.endpoint", "botocore.parsers")
# As a header, as the repr of one, in a URL, and where S3 quotes it in its answer to an expired one.
_TOKEN = re.compile(r"""(?i)(x-amz-security-token['"]?\s*[:=]\s*b?['"]?|<Token-0>)[^'"\s,<&]+""")


class _HideTokens(logging.Filter):
    """Lets every record pass, with ``***`` in place of a session token."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        clean = _TOKEN.sub(r"\1***", text)
        if clean != text:
            record.msg, record.args = clean, ()
        return True


_hide_tokens = _HideTokens()


def hide_tokens_in_logs() -> None:
    """Hides them from now on in this process, whoever uses botocore; costs nothing unless DEBUG is on. Idempotent."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_hide_tokens)
