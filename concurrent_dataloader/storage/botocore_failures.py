"""What the exceptions of botocore, and so of boto3 and aiobotocore, mean."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from email.utils import mktime_tz, parsedate_tz
from typing import Any

from concurrent_dataloader._base.errors import (
    AccessDenied,
    IncompleteBody,
    ObjectNotFound,
    StorageError,
    StorageTimeout,
    UnreadableKeyError,
)
from concurrent_dataloader.storage.ranges import RangePastEnd
from concurrent_dataloader.storage.retry import Failure
from concurrent_dataloader.storage.scrub import scrub

# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html: these come with status 400.
DENIED_CODES = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "AuthorizationHeaderMalformed"})
# Of these, what newer credentials mend, and what keys that were replaced get.
EXPIRED_CODES = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId"})
TRANSIENT_CODES = frozenset({"RequestTimeout"})
# What AWS's SDKs take for throttling, and Google's and Azure's words for it. S3 itself sends SlowDown, with 503.
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
THROTTLED_CODES = frozenset(
    {
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "ServerBusy",
        "SlowDown",
        "SlowDownRead",
        "SlowDownWrite",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "TooManyRequestsException",
        "rateLimitExceeded",
    }
)


def classify_status(status: int, code: str, message: str, retry_after: str | None = None) -> Failure:
    """Tells what an answer of the store means.

    Args:
        status: HTTP status.
        code: S3's error code.
        message: The store's own sentence.
        retry_after: Value of the Retry-After header, if it was sent and can be seen.
    """
    detail = scrub(f"status {status}, {code}: {message}")
    if status == 404 or code in ("NoSuchKey", "NoSuchBucket"):
        return Failure(ObjectNotFound, detail)
    if status in (401, 403) or code in DENIED_CODES:
        return Failure(AccessDenied, detail, expired=code in EXPIRED_CODES)
    if status == 416:
        return Failure(RangePastEnd, detail)
    throttled = status == 429 or code in THROTTLED_CODES or (status == 503 and "request rate" in message)
    transient = throttled or status >= 500 or status == 408 or code in TRANSIENT_CODES
    return Failure(StorageError, detail, transient, throttled, seconds_of(retry_after))


def seconds_of(retry_after: str | None) -> float | None:
    """Returns the seconds that a Retry-After header asks to wait; None where there is none that can be read."""
    try:
        seconds = float(retry_after or "")
    except ValueError:
        date = parsedate_tz(retry_after or "")
        seconds = mktime_tz(date) - time.time() if date is not None else -1.0
    return seconds if 0.0 <= seconds < math.inf else None


def classify_botocore(error: Exception) -> Failure | None:
    """Returns what the error means for the request; None for what does not come from the client or the network."""
    import botocore.exceptions as boto
    import urllib3.exceptions

    if isinstance(error, UnicodeEncodeError):
        return Failure(UnreadableKeyError, "its key has a character that UTF-8 cannot write")
    if isinstance(error, boto.ClientError):
        return _classify_answer(error.response)
    if isinstance(error, _credential_errors()):
        return Failure(AccessDenied, _one_line(error))
    if isinstance(error, (boto.ParamValidationError, boto.SSLError, boto.InvalidProxiesConfigError)):
        return Failure(StorageError, _one_line(error))
    timeouts = (boto.ConnectTimeoutError, boto.ReadTimeoutError, TimeoutError, urllib3.exceptions.TimeoutError)
    if isinstance(error, timeouts):
        return Failure(StorageTimeout, _one_line(error), transient=True)
    if isinstance(error, (boto.IncompleteReadError, boto.ResponseStreamingError, urllib3.exceptions.ProtocolError)):
        return Failure(IncompleteBody, _one_line(error), transient=True)
    interruptions = (boto.HTTPClientError, boto.ConnectionError, boto.FlexibleChecksumError)
    if isinstance(error, (*interruptions, urllib3.exceptions.HTTPError, OSError)):
        return Failure(StorageError, _one_line(error), transient=True)
    return Failure(StorageError, _one_line(error)) if isinstance(error, boto.BotoCoreError) else None


def _classify_answer(response: Mapping[str, Any]) -> Failure:
    cause = response.get("Error", {})
    code, message = str(cause.get("Code", "")), str(cause.get("Message", ""))
    answer = response.get("ResponseMetadata", {})
    status, headers = int(answer.get("HTTPStatusCode", 0)), answer.get("HTTPHeaders", {})
    return classify_status(status, code, message, headers.get("retry-after"))


def _credential_errors() -> tuple[type[Exception], ...]:
    import botocore.exceptions as boto

    return (
        boto.NoCredentialsError,
        boto.PartialCredentialsError,
        boto.CredentialRetrievalError,
        boto.UnknownCredentialError,
        boto.MetadataRetrievalError,
        boto.ProfileNotFound,
        boto.SSOError,
        boto.TokenRetrievalError,
        boto.NoAuthTokenError,
    )


def _one_line(error: Exception) -> str:
    return scrub(f"{type(error).__name__}: {error}")
