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
from concurrent_dataloader.storage.ranges import RangesIgnored
from concurrent_dataloader.storage.retry import Failure
from concurrent_dataloader.storage.scrub import scrub

# The kinds of object_store's HttpError that a new connection may mend; "Connect" includes names that do not resolve,
# which a busy resolver mends too. "Unknown" is an answer that is no HTTP.
_PASSING_KINDS = frozenset({"Connect", "Request", "Interrupted", "Decode", "Unknown"})
_LASTING = re.compile(r"InvalidCertificate|UnknownIssuer|TooManyRedirects")


def classify_obstore(error: Exception) -> Failure | None:
    """Returns what the error means for the request; None for what does not come from the client or the network."""
    from obstore.exceptions import BaseError, UnauthenticatedError

    if not isinstance(error, (BaseError, FileNotFoundError)):
        return classify_botocore(error)  # from finding the credentials and the bucket's region
    message, _, debug = str(error).partition("\n\nDebug source:")
    retries = re.search(r"after (\d+) retries", message)  # in a listing, which obstore repeats by itself
    attempts = int(retries[1]) + 1 if retries else 1
    answered = re.search(r"status code: (\d{3})(.*)", message, re.DOTALL)
    if answered:
        code, message = _xml_text(answered[2], "Code"), _xml_text(answered[2], "Message")
        failure = classify_status(int(answered[1]), code, message)
    elif isinstance(error, UnauthenticatedError):
        failure = Failure(AccessDenied, _detail(message, debug))
    elif isinstance(error, FileNotFoundError):
        failure = Failure(ObjectNotFound, _detail(message, debug))
    else:
        failure = _classify_transport(_detail(message, debug), debug)
    # obstore's own text quotes the whole answer, and S3's answer to an expired token quotes that.
    return replace(failure, attempts=attempts, cause=type(error)(failure.detail))


def _classify_transport(detail: str, debug: str) -> Failure:
    """Tells what a failure without an answer means, or one in the middle of the body."""
    found = re.search(r"HttpError \{\s*kind: (\w+)", debug)
    kind = found[1] if found else None
    if kind == "Timeout":
        return Failure(StorageTimeout, detail, transient=True)
    if kind in _PASSING_KINDS and not _LASTING.search(debug):
        in_body = "kind: Body" in debug or kind == "Decode"
        return Failure(IncompleteBody if in_body else StorageError, detail, transient=True)
    ignored = "NotPartial" in debug or "UnexpectedRange" in debug
    return Failure(RangesIgnored if ignored else StorageError, detail)


def _detail(message: str, debug: str) -> str:
    return scrub(message.rpartition(" - ")[2] + _innermost_cause(debug))


def _xml_text(body: str, tag: str) -> str:
    found = re.search(rf"<{tag}>(.*?)</{tag}>", body, re.DOTALL)
    return found[1] if found else f"without a {tag.lower()}"


def _innermost_cause(debug: str) -> str:
    """Returns the last error of Rust's chain, such as ``: Connection refused``, which the message leaves out."""
    found = re.search(r".*\b(?:error|message): (.*)", " ".join(debug.split()))
    cause = " ".join(re.sub(r'[(){},"]', " ", found[1]).split()) if found else ""
    return f": {cause}" if cause else ""
