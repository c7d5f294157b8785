"""Fetches an index or classes file that is not there yet: whole, checked, then renamed into place."""

from __future__ import annotations

import logging
import shutil
import string
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPMessage, IncompleteRead
from pathlib import Path
from typing import IO, BinaryIO, cast
from urllib.parse import SplitResult, quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request

from concurrent_dataloader._base.errors import (
    AccessDenied,
    CredentialsFileError,
    FileFormatError,
    IncompleteBody,
    ObjectNotFound,
    StorageError,
    StorageTimeout,
)
from concurrent_dataloader.dataset.atomic_file import replacing
from concurrent_dataloader.storage.retry import Failure, Retrying, check_length

_log = logging.getLogger(__name__)

_SILENCE_TIMEOUT_S = 30.0  # longest wait for the next bytes of a download; the stores' own read time-out
_MAX_ATTEMPTS = 5  # with pauses of 1.5 s together at most: somebody waits for the program to start
_DEADLINE_S = 120.0  # no attempt starts later; the stores' own
_HTTP_ERRORS = {401: AccessDenied, 403: AccessDenied, 404: ObjectNotFound, 410: ObjectNotFound}
_PASSING_STATUSES = (429, 500, 502, 503, 504)  # what S3's own clients ask again after
_EXPECTED = "expected https://, http://, s3://bucket/key or file://"


def download(url: str, path: Path, *, check: Callable[[Path], object], read_s3: Callable[[str, str], bytes]) -> None:
    """Downloads a file unless it is there already; what may pass (503, reset, time-out, short body) is tried again.

    Args:
        url: ``https://``, ``http://``, ``s3://bucket/key`` or ``file://``. Certificates are always verified, and an
            ``https`` URL that redirects to plain ``http`` is refused. The key of an ``s3://`` URL is taken as it
            stands, ``#``, ``?`` and ``%`` included.
        path: Where the file goes; it appears there only if ``check`` passes.
        check: Called with the path of the whole download; raises if it is not what it should be.
        read_s3: Returns the body of an object, given bucket and key.

    Raises:
        CredentialsFileError: This is no such URL; the message shows nothing of it that may be a secret.
        StorageError: The download failed (`AccessDenied`, `ObjectNotFound`, `StorageTimeout`, `IncompleteBody`).
        FileFormatError: Of the type that ``check`` raised.
    """
    if path.exists():
        return
    parts = _checked_parts(url)
    shown = f"{parts.scheme}://{parts.netloc}{parts.path}"  # a presigned URL carries its signature in the query
    _log.info("downloading %s from %s", path, shown)
    with replacing(path) as file:
        if parts.scheme == "s3":
            bucket, _, key = url.partition("://")[2].partition("/")
            file.write(read_s3(bucket, key))
        else:
            retrying = Retrying(_MAX_ATTEMPTS, _DEADLINE_S, _failure_of)
            retrying.call(lambda _: _read_url(parts, file), lambda: shown)
        file.flush()
        try:
            check(Path(file.name))
        except FileFormatError as error:
            message = str(error).replace(str(file.name), f"{path}, downloaded from {shown},")
            raise type(error)(message) from None


def _checked_parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # parsed only when read
    except ValueError:
        raise CredentialsFileError(f"{_EXPECTED}, got something that is no URL") from None
    if "@" in parts.netloc:
        raise CredentialsFileError(f"{_EXPECTED}, got one with user or password in it, which is not supported")
    if parts.scheme not in ("https", "http", "s3", "file"):
        raise CredentialsFileError(f"{_EXPECTED}, got {f'{parts.scheme}:' if parts.scheme else 'one without a scheme'}")
    if parts.scheme != "file" and not parts.netloc:
        raise CredentialsFileError(f"{_EXPECTED}, got {parts.scheme}:// without a host or bucket")
    if parts.scheme == "s3" and not url.partition("://")[2].partition("/")[2]:
        raise CredentialsFileError(f"{_EXPECTED}, got s3://{parts.netloc} without a key")
    return parts


class _FailedAttempt(Exception):
    """Carries what an attempt's failure means, without the exception itself: its text may hold the whole URL."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure


def _failure_of(error: Exception) -> Failure | None:
    return error.failure if isinstance(error, _FailedAttempt) else None


def _read_url(parts: SplitResult, file: BinaryIO) -> None:
    """Reads a URL into the file, which may hold the part that an earlier attempt left."""
    file.seek(0)
    file.truncate()
    # Blanks and letters beyond ASCII, which http.client refuses, are sent as browsers send them.
    safe = string.punctuation
    url = parts._replace(path=quote(parts.path, safe), query=quote(parts.query, safe), fragment="").geturl()
    opener = urllib.request.build_opener(_NoDowngrade)
    try:
        with opener.open(url, timeout=_SILENCE_TIMEOUT_S) as response:
            shutil.copyfileobj(cast(BinaryIO, response), file)
            announced = response.headers.get("Content-Length")
            if announced is not None:
                check_length(file.tell(), int(announced))
    except IncompleteBody:
        raise
    except urllib.error.HTTPError as error:
        error.close()
        cause, passing = _HTTP_ERRORS.get(error.code, StorageError), error.code in _PASSING_STATUSES
        raise _FailedAttempt(Failure(cause, f"the server answered {error.code}", passing)) from None
    except (OSError, HTTPException, ValueError) as error:
        raise _FailedAttempt(_failure_by_cause(error)) from None


def _failure_by_cause(error: Exception) -> Failure:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, str):
        return Failure(StorageError, reason)
    if isinstance(reason, TimeoutError):
        return Failure(StorageTimeout, f"no bytes for {_SILENCE_TIMEOUT_S:.0f} s", transient=True)
    if isinstance(reason, FileNotFoundError):
        return Failure(ObjectNotFound, "there is no such file")
    if isinstance(reason, IncompleteRead):
        return Failure(IncompleteBody, "the connection ended within the body", transient=True)
    detail = f"the download failed: {type(reason).__name__}"
    if isinstance(reason, OSError):  # the texts of the others quote the URL
        detail += f": {reason}"
    return Failure(StorageError, detail, transient=isinstance(reason, ConnectionError))


class _NoDowngrade(HTTPRedirectHandler):
    """Follows redirects, but never from https to http."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            fp.close()  # nobody else does when this raises
            raise urllib.error.URLError("redirected from https to plain http, which is refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
