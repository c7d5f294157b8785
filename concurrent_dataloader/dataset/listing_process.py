"""Lists a store through obstore in a process of its own, which ends with the listing.

obstore does not survive a fork. A dataset is made in the main process, whose workers may be forked later, so what lists
for it must be another process. That is a new interpreter and not a `multiprocessing` child: the latter would import the
user's script again, which on Linux seldom guards itself against it.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import IO, Any

from concurrent_dataloader._base import errors
from concurrent_dataloader.dataset.listing import list_keys
from concurrent_dataloader.storage import ObjectInfo, ObjectOptions, ObstoreStore

_BATCH = 1000  # entries in one line of output
_STOP_TIMEOUT_S = 5.0  # a killed process is gone in milliseconds, unless the machine is swamped
# The parent's path first, or another copy of the library might answer; -P keeps the working directory out till then.
_BOOTSTRAP = (
    "import json, sys; job = json.loads(sys.stdin.readline()); sys.path[:] = job['path']; "
    "from concurrent_dataloader.dataset.listing_process import answer; answer(job)"
)


def list_apart(store: ObstoreStore, prefix: str) -> tuple[list[str], Iterator[ObjectInfo]]:
    """Returns the folders right below a prefix, and every object below it in the order of its key's UTF-8 bytes.

    The process takes its credentials from the environment, as the store itself does; no secret is handed to it.

    Raises:
        OptionError: The store cannot be listed.
        StorageError: The listing failed, here or while the objects are being read.

    Shutdown:
        The process ends with the iterator, and is killed when this is closed before.
    """
    if store.options.provider == "http":
        store.list_prefixes(prefix)  # says why not, without a request
    lines = _lines({"path": sys.path, "prefix": prefix, "options": dataclasses.asdict(store.options)}, store, prefix)
    folders: list[str] = next(lines)
    return folders, (ObjectInfo(key, size_bytes) for batch in lines for key, size_bytes in batch)


def answer(job: dict[str, Any]) -> None:
    """What the process does: lists, and writes one JSON value a line on standard output.

    The folders come first, then batches of ``[key, size in bytes]``, then ``null``; an error is an object.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a Ctrl-C reaches the whole group: no traceback from here
    try:
        store = ObstoreStore(ObjectOptions(**job["options"]))
        _say(store.list_prefixes(job["prefix"])[0])
        entries = iter(list_keys(store, job["prefix"]))
        while batch := list(itertools.islice(entries, _BATCH)):
            _say(list(_pairs(batch)))
        _say(None)
    except errors.ConcurrentDataLoaderError as error:
        _say({"error": type(error).__name__, "message": str(error)})


def _pairs(entries: Iterable[str | ObjectInfo]) -> Iterator[tuple[str, int]]:
    return ((each, 0) if isinstance(each, str) else (each.key, each.size_bytes) for each in entries)


def _say(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def _lines(job: dict[str, Any], store: ObstoreStore, prefix: str) -> Iterator[Any]:
    """Yields what the process says, and raises what it met with."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _BOOTSTRAP], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.close()
        yield from _answers(process.stdout)
    except (BrokenPipeError, EOFError):
        code = process.wait(_STOP_TIMEOUT_S)
        raise errors.StorageError(
            f"{store.describe(prefix)}: the process that lists it ended with exit code {code}; its last words are on "
            "standard error"
        ) from None
    finally:
        process.kill()
        process.wait(_STOP_TIMEOUT_S)
        process.stdout.close()


def _answers(output: IO[str]) -> Iterator[Any]:
    for line in output:
        if not line.endswith("\n"):
            break  # it died while writing
        value = json.loads(line)
        if value is None:
            return
        if isinstance(value, dict):
            raise getattr(errors, value["error"])(value["message"])
        yield value
    raise EOFError
