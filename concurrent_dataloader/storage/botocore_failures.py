"""What the exceptions of botocore, and so of boto3 and aiobotocore, mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from concurrent_dataloader._base.errors import (
    AccessDenied,
    IncompleteBody,
    ObjectNotFound,
    StorageError,
    StorageTimeout,
)
from concurrent_dataloader.storage.retry import Failure, scrub

# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html: these come with status 400.
DENIED_CODES = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "AuthorizationHeaderMalformed"})
TRANSIENT_CODES = frozenset({"RequestTimeout", "SlowDown"})


def classify_status(status: int, code: str, detail: str) -> Failure:
    """Tells what an answer of the store means, by its HTTP status and S3's error code."""
    if status == 404 or code in ("NoSuchKey", "NoSuchBucket"):
        return Failure(ObjectNotFound, detail)
    if status in (401, 403) or code in DENIED_CODES:
        return Failure(AccessDenied, detail)
    transient = status >= 500 or status in (408, 429) or code in TRANSIENT_CODES
    return Failure(StorageError, detail, transient)


def classify_botocore(error: Exception) -> Failure | None:
    """Returns what the error means for the request; None for what does not come from the client or the network."""
    import botocore.exceptions as boto
    import urllib3.exceptions

    if isinstance(error, boto.ClientError):
        return _classify_answer(error.response)
    if isinstance(error, _credential_errors()):
        return Failure(AccessDenied, _one_line(error))
    if isinstance(error, (boto.ParamValidationError, boto.SSLError, boto.InvalidProxiesConfigError)):
        return Failure(StorageError, _one_line(error))
    timeouts = (boto.ConnectTimeoutError, boto.ReadTimeoutError, TimeoutError, urllib3.exceptions.TimeoutError)
    if isinstance(error, timeouts):
        return Failure(StorageTimeout, _one_line(error), transient=True)
    if isinstance(error, (boto.IncompleteReadError, boto.ResponseStreamingError)):
        return Failure(IncompleteBody, _one_line(error), transient=True)
    interruptions = (boto.HTTPClientError, boto.ConnectionError, boto.FlexibleChecksumError)
    if isinstance(error, (*interruptions, urllib3.exceptions.HTTPError, OSError)):
        return Failure(StorageError, _one_line(error), transient=True)
    return Failure(StorageError, _one_line(error)) if isinstance(error, boto.BotoCoreError) else None


def _classify_answer(response: Mapping[str, Any]) -> Failure:
    cause = response.get("Error", {})
    code, message = str(cause.get("Code", "")), str(cause.get("Message", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return classify_status(status, code, scrub(f"status {status}, {code}: {message}"))


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
