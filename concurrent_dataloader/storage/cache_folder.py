"""The cache's folder: who may own it, what lies in it under which name, and how it is looked through.

::

    cache_dir/                                   mode 0700
      concurrent-dataloader-cache.ledger         lock and bookkeeping, see cache_ledger
      incoming                                   the entry that is being written; a left-over is removed
      00/ ... ff/                                256 shards, mode 0700, made when they are needed
        <38 hex digits>                          one entry, mode 0600, see cache_entry
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import stat
from pathlib import Path

from concurrent_dataloader._base.errors import MissingFileError, OptionError
from concurrent_dataloader.storage.cache_evict import Entry

SHARDS = 256  # folders; a million entries make 4,000 each: a shard is then looked through in about 15 ms
LEDGER_NAME = "concurrent-dataloader-cache.ledger"
INCOMING_NAME = "incoming"

_DIGEST_BYTES = 20  # 160 bits: two of 10**12 names are the same with a chance below 10**-24
_ENTRY_NAME = re.compile(r"[0-9a-f]{38}")
_SHARD_NAME = re.compile(r"[0-9a-f]{2}")
_OUR_NAME = re.compile(rf"{_SHARD_NAME.pattern}|{INCOMING_NAME}|{re.escape(LEDGER_NAME)}")


def entry_name(store_name: str, key: str) -> str:
    """Returns the path of an object's entry below the folder: hex digits only, whatever the key holds."""
    # The store's digest always has the same length, so that no pair of store and key reads like another put together.
    digest = hashlib.blake2b(_store_digest(store_name) + _encode(key), digest_size=_DIGEST_BYTES).hexdigest()
    return f"{digest[:2]}/{digest[2:]}"


def shard_of(name: str) -> int:
    """Returns the number of the shard in which an entry lies."""
    return int(name[:2], 16)


def prepare_folder(cache_dir: Path) -> str:
    """Makes the folder if it is missing, takes it for the cache and returns its real path.

    Raises:
        OptionError: The folder belongs to another user, is reached over another user's symbolic link, holds files
            that are no cache's, or could be written by others.
        OSError: It cannot be made because the disk is full or read-only.
    """
    cache_dir = Path(os.path.abspath(cache_dir.expanduser()))
    _refuse_planted_links(cache_dir)
    folder = os.path.realpath(cache_dir)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        names = os.listdir(folder)
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise OptionError(f"cache_dir {folder} cannot be used as a folder: {error}") from error
    _check_ours(folder, names)
    return folder


def existing_folder(cache_dir: Path) -> str:
    """Returns the real path of a folder that holds a cache.

    Raises:
        MissingFileError: There is no cache.
        OptionError: As `prepare_folder`.
    """
    if not os.path.isfile(cache_dir.expanduser() / LEDGER_NAME):
        raise MissingFileError(f"there is no cache in {cache_dir}: it has no file {LEDGER_NAME}")
    return prepare_folder(cache_dir)


def scan_shard(folder: str, shard: int) -> list[Entry]:
    """Returns the entries of one shard; files with other names are none of ours and are left alone."""
    entries = []
    try:
        with os.scandir(f"{folder}/{shard:02x}") as found:
            for item in found:
                if not _ENTRY_NAME.fullmatch(item.name):
                    continue
                try:
                    status = item.stat(follow_symlinks=False)
                except FileNotFoundError:  # another process removed it meanwhile
                    continue
                entries.append(Entry(status.st_mtime_ns, f"{shard:02x}/{item.name}", status.st_size))
    except FileNotFoundError:  # the shard has never had an entry
        return []
    return entries


def unlink_entry(folder: str, name: str) -> int:
    """Removes an entry and returns the bytes that this freed, 0 if there was none."""
    path = f"{folder}/{name}"
    try:
        size_bytes = os.lstat(path).st_size
        os.unlink(path)
    except FileNotFoundError:
        return 0
    return size_bytes


@functools.lru_cache(maxsize=64)
def _store_digest(store_name: str) -> bytes:
    return hashlib.blake2b(_encode(store_name), digest_size=_DIGEST_BYTES).digest()


def _encode(text: str) -> bytes:
    # Keys of local files may hold surrogates, which stand for bytes that are no UTF-8.
    return text.encode("utf-8", "surrogatepass")


def _refuse_planted_links(path: Path) -> None:
    """Refuses symbolic links that another user put in the way, for instance in ``/tmp``."""
    for part in (path, *path.parents):
        try:
            status = os.lstat(part)
        except OSError:  # not there, or not reachable: making the folder says which
            continue
        if stat.S_ISLNK(status.st_mode) and status.st_uid not in (0, os.geteuid()):
            raise OptionError(
                f"cache_dir {path} leads over the symbolic link {part} of another user (uid {status.st_uid}); "
                "name a folder of your own"
            )


def _check_ours(folder: str, names: list[str]) -> None:
    status = os.lstat(folder)
    if status.st_uid != os.geteuid():
        raise OptionError(
            f"cache_dir {folder} belongs to another user (uid {status.st_uid}, this process is uid {os.geteuid()}), "
            "who could change what is read from it; name a folder of your own"
        )
    strangers = sorted(name for name in names if not _OUR_NAME.fullmatch(name))
    if strangers and LEDGER_NAME not in names:
        raise OptionError(
            f"cache_dir {folder} holds files that are no cache's, for instance {strangers[0]!r}; "
            "name a new or an empty folder"
        )
    if names and status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OptionError(
            f"cache_dir {folder} can be written by other users (mode {stat.S_IMODE(status.st_mode):04o}), so its "
            "entries cannot be trusted; empty it, or name a new folder"
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        os.chmod(folder, 0o700)
    _refuse_planted_files(folder)


def _refuse_planted_files(folder: str) -> None:
    """Refuses what another user put into the folder before it was closed to him, and names of what lies elsewhere.

    He could still write in the first. Through a link we would read and write outside; another name of our own file is
    our own, too, whoever made it.
    """
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):  # "incoming", which another process has renamed meanwhile
            status = os.lstat(f"{folder}/{name}")
            if status.st_uid != os.geteuid():
                raise OptionError(
                    f"cache_dir {folder} holds {name!r} of another user (uid {status.st_uid}), who could change what "
                    "is read from it; name a folder of your own"
                )
            if _OUR_NAME.fullmatch(name) and not _is_as_we_make_it(name, status):
                raise OptionError(
                    f"cache_dir {folder} holds {name!r}, which is a link, or of another kind than a cache's own; "
                    "remove it, or name a new folder"
                )


def _is_as_we_make_it(name: str, status: os.stat_result) -> bool:
    """Whether a shard is a folder, and all else a file without a second name."""
    if _SHARD_NAME.fullmatch(name):
        return stat.S_ISDIR(status.st_mode)
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1
