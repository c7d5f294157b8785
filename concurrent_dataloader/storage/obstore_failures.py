"""What the exceptions of obstore mean; it has one class for most causes, so the text is what tells them apart."""

from __future__ import annotations

import re
from dataclasses import replace

from concurrent_dataloader._base.errors import (
    AccessDenied,
    IncompleteBody,
    ObjectNotFound,
    StorageError,
    StorageTimeout,
)
from concurrent_dataloader.storage.botocore_failures import classify_botocore, classify_status
from concurrent_dataloader.storage.retry import Failure, scrub


def classify_obstore(error: Exception) -> Failure | None:
    """Returns what the error means for the request; None for what does not come from the client or the network.

    obstore has made its own attempts before it raises, so only a body that it could not complete is worth another.
    """
    from obstore.exceptions import BaseError, UnauthenticatedError

    if not isinstance(error, (BaseError, FileNotFoundError)):
        return classify_botocore(error)  # from finding the credentials and the bucket's region
    message, _, debug = str(error).partition("\n\nDebug source:")
    retries = re.search(r"after (\d+) retries", message)
    attempts = int(retries[1]) + 1 if retries else 1
    answered = re.search(r"status code: (\d{3})(.*)", message, re.DOTALL)
    if answered:
        status, code = int(answered[1]), _xml_text(answered[2], "Code")
        detail = scrub(f"status {status}, {code}: {_xml_text(answered[2], 'Message')}")
        return replace(classify_status(status, code, detail), transient=False, attempts=attempts)
    detail = scrub(message.rpartition(" - ")[2] + _innermost_cause(debug))
    if isinstance(error, UnauthenticatedError):
        return Failure(AccessDenied, detail)
    if isinstance(error, FileNotFoundError):
        return Failure(ObjectNotFound, detail)
    if "kind: Timeout" in debug:
        return Failure(StorageTimeout, detail, attempts=attempts if retries else None)
    if "NoContentRange" in debug:  # the body broke off, and the store does not serve the rest alone
        return Failure(IncompleteBody, detail, transient=True)
    if "kind: Body" in debug:  # it broke off as often as obstore may try
        return Failure(IncompleteBody, detail, attempts=None)
    return Failure(StorageError, detail, attempts=attempts)


def _xml_text(body: str, tag: str) -> str:
    found = re.search(rf"<{tag}>(.*?)</{tag}>", body, re.DOTALL)
    return found[1] if found else f"without a {tag.lower()}"


def _innermost_cause(debug: str) -> str:
    """Returns the last error of Rust's chain, such as ``: Connection refused``, which the message leaves out."""
    found = re.search(r".*\b(?:error|message): (.*)", " ".join(debug.split()))
    cause = " ".join(re.sub(r'[(){},"]', " ", found[1]).split()) if found else ""
    return f": {cause}" if cause else ""
