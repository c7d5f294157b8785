"""Fetches an index or classes file that is not there yet: whole, checked, then renamed into place."""

from __future__ import annotations

import logging
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, BinaryIO, cast
from urllib.parse import urlsplit
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

_log = logging.getLogger(__name__)

_SILENCE_TIMEOUT_S = 30.0  # longest wait for the next bytes of a download; the stores' own read time-out
_HTTP_ERRORS = {401: AccessDenied, 403: AccessDenied, 404: ObjectNotFound, 410: ObjectNotFound}


def download(url: str, path: Path, *, check: Callable[[Path], object], read_s3: Callable[[str, str], bytes]) -> None:
    """Downloads a file unless it is there already.

    Args:
        url: ``https://``, ``http://``, ``s3://bucket/key`` or ``file://``. Certificates are always verified, and an
            ``https`` URL that redirects to plain ``http`` is refused.
        path: Where the file goes; it appears there only if ``check`` passes.
        check: Called with the path of the whole download; raises if it is not what it should be.
        read_s3: Returns the body of an object, given bucket and key.

    Raises:
        CredentialsFileError: The URL has another scheme.
        StorageError: The download failed (`AccessDenied`, `ObjectNotFound`, `StorageTimeout`, `IncompleteBody`).
        FileFormatError: Of the type that ``check`` raised.
    """
    if path.exists():
        return
    shown = _without_secrets(url)
    _log.info("downloading %s from %s", path, shown)
    with replacing(path) as file:
        if urlsplit(url).scheme == "s3":
            parts = urlsplit(url)
            file.write(read_s3(parts.netloc, parts.path.removeprefix("/")))
        else:
            _read_url(url, shown, file)
        file.flush()
        try:
            check(Path(file.name))
        except FileFormatError as error:
            message = str(error).replace(str(file.name), f"{path}, downloaded from {shown},")
            raise type(error)(message) from None


def _read_url(url: str, shown: str, file: BinaryIO) -> None:
    if urlsplit(url).scheme not in ("https", "http", "file"):
        raise CredentialsFileError(f"download URL {shown}: expected https://, http://, s3://bucket/key or file://")
    opener = urllib.request.build_opener(_NoDowngrade)
    try:
        with opener.open(url, timeout=_SILENCE_TIMEOUT_S) as response:
            shutil.copyfileobj(cast(BinaryIO, response), file)
            announced = response.headers.get("Content-Length")
    except urllib.error.HTTPError as error:
        error.close()
        raise _HTTP_ERRORS.get(error.code, StorageError)(f"{shown}: the server answered {error.code}") from None
    except TimeoutError:
        raise StorageTimeout(f"{shown}: no bytes for {_SILENCE_TIMEOUT_S:.0f} s") from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise StorageError(f"{shown}: the download failed: {type(reason).__name__}: {reason}") from None
    if announced is not None and int(announced) != file.tell():
        raise IncompleteBody(f"{shown}: {file.tell()} bytes arrived of the {announced} that were announced")


class _NoDowngrade(HTTPRedirectHandler):
    """Follows redirects, but never from https to http."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise urllib.error.URLError("redirected from https to plain http")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _without_secrets(url: str) -> str:
    """The URL without user, password and query: a presigned URL carries its signature there."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
