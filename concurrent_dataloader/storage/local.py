"""A folder on local disk as an object store: keys are paths below it."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from concurrent_dataloader._base.errors import AccessDenied, ObjectNotFound, StorageError
from concurrent_dataloader.storage.daemon_call import in_daemon_thread
from concurrent_dataloader.storage.protocol import Level, ObjectInfo
from concurrent_dataloader.storage.ranges import check_range, past_end_message

# `put` writes under such a name first; listings leave it out, so that a crash in between indexes no half file.
_PARTIAL_SUFFIX = ".partial-put"

_READ_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0)  # the latter on Windows
_PART_BYTES = 1 << 24

_Entries = list[tuple[str, int | None]]


class LocalStore:
    """An `ObjectStore` over the files below a folder.

    Keys are paths as the file system understands them: ``a//b`` and ``./a/b`` name the same file as ``a/b``. Symbolic
    links are followed, wherever they lead.

    Args:
        root: The folder; None is the working directory at construction. It need not exist yet.
    """

    def __init__(self, root: Path | str | None = None) -> None:
        self._root = os.path.abspath(root if root is not None else os.curdir)
        self._start = os.path.join(self._root, "")

    @property
    def root(self) -> Path:
        """The folder that keys are relative to."""
        return Path(self._root)

    def get(self, key: str, size_bytes: int | None = None) -> bytes:
        path = self._path(key)
        try:
            return _read_file(path)
        except (OSError, ValueError) as error:
            raise self._error(key, error) from error

    async def aget(self, key: str, size_bytes: int | None = None) -> bytes:
        return await in_daemon_thread(lambda: self.get(key))

    def get_range(self, key: str, start: int, end: int) -> bytes:
        check_range(start, end)
        path = self._path(key)
        try:
            with open(path, "rb") as file:
                size_bytes = os.fstat(file.fileno()).st_size
                file.seek(start)
                body = file.read(end - start)
        except (OSError, ValueError) as error:
            raise self._error(key, error) from error
        if start >= size_bytes:
            raise StorageError(f"{self.describe(key)}: {past_end_message(start, size_bytes)}")
        return body

    def head(self, key: str) -> ObjectInfo:
        path = self._path(key)
        try:
            found = os.stat(path)
        except (OSError, ValueError) as error:
            raise self._error(key, error) from error
        if stat.S_ISDIR(found.st_mode):
            raise ObjectNotFound(f"{self.describe(key)}: it is a folder")
        return ObjectInfo(key, found.st_size)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return self._walk(prefix, ())

    def list_prefixes(self, prefix: str = "") -> Level:
        prefixes: list[str] = []
        objects: list[ObjectInfo] = []
        for key, size_bytes in self._level(prefix):
            if size_bytes is None:
                prefixes.append(key)
            else:
                objects.append(ObjectInfo(key, size_bytes))
        return prefixes, objects

    def folder_identity(self, prefix: str) -> tuple[int, int]:
        """Returns device and inode of the folder that holds a level: a symbolic link may lead to one twice."""
        return _identity(self._path(_folder_of(prefix)))

    def put(self, key: str, body: bytes) -> None:
        path = self._path(key)
        folder, name = os.path.split(path)
        partial = os.path.join(folder, f".{secrets.token_hex(8)}{_PARTIAL_SUFFIX}")
        try:
            if not name:
                raise IsADirectoryError(errno.EISDIR, "the key names a folder")
            os.makedirs(folder, exist_ok=True)
            try:
                with open(partial, "xb") as file:
                    file.write(body)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(partial, path)
            finally:
                with suppress(FileNotFoundError):  # it has been renamed, or was never made
                    os.unlink(partial)
        except (OSError, ValueError) as error:
            raise self._error(key, error) from error

    def describe(self, key: str) -> str:
        return self._start + key

    def set_max_concurrency(self, requests: int) -> None:
        """Does nothing: a file system has no pool of connections."""

    async def aclose(self) -> None:
        """Does nothing: no loop owns anything here."""

    def __repr__(self) -> str:
        return f"LocalStore({self._root!r})"

    def _path(self, key: str) -> str:
        if key.startswith("/") or (".." in key and ".." in key.split("/")):
            raise AccessDenied(f"{key!r} leaves the store's folder {self._root}: keys are relative, without '..'")
        return self._start + key

    def _error(self, key: str, error: Exception) -> StorageError:
        cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        kind = StorageError
        if isinstance(error, (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError)):
            kind = ObjectNotFound  # ValueError: a null byte, or what the file system's encoding does not have
        elif isinstance(error, PermissionError):
            kind = AccessDenied
        return kind(f"{self.describe(key)}: {cause}")

    def _walk(self, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[ObjectInfo]:
        """Yields the files below ``prefix``; ``above`` are the folders on the way down, by device and inode."""
        identity = _identity(self._path(_folder_of(prefix)))
        if identity in above:  # a symbolic link has led back up
            return
        for key, size_bytes in self._level(prefix):
            if size_bytes is None:
                yield from self._walk(key, (*above, identity))
            else:
                yield ObjectInfo(key, size_bytes)

    def _level(self, prefix: str) -> _Entries:
        """Returns one level below ``prefix``, sorted: files with sizes in bytes, folders (with a slash) with None."""
        folder = _folder_of(prefix)
        path = self._path(folder)
        found: _Entries = []
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if (folder + entry.name).startswith(prefix):
                        found += _described(folder, entry)
        except (FileNotFoundError, NotADirectoryError) as error:
            if not folder:
                raise self._error(folder, error) from error
        except OSError as error:
            raise self._error(folder, error) from error
        return sorted(found, key=lambda each: os.fsencode(each[0]))


def _read_file(path: str) -> bytes:
    """Reads a file in four system calls: `open` and `read` of Python's own file objects take twice as many."""
    fd = os.open(path, _READ_FLAGS)
    try:
        size_bytes = os.fstat(fd).st_size
        body = os.read(fd, size_bytes + 1)  # a byte more shows that this is the end
        if len(body) == size_bytes:
            return body
        parts = [body]  # a file that grows, one of more than 2 GiB, or a pipe
        while parts[-1]:
            parts.append(os.read(fd, _PART_BYTES))
        return b"".join(parts)
    finally:
        os.close(fd)


def _folder_of(prefix: str) -> str:
    return prefix[: prefix.rfind("/") + 1]


def _identity(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:  # reading the folder will say why
        return (-1, -1)
    return (found.st_dev, found.st_ino)


def _described(folder: str, entry: os.DirEntry[str]) -> _Entries:
    """Returns the entry's key and size; nothing for what is neither file nor folder, or has gone since."""
    with suppress(FileNotFoundError):
        if entry.is_dir():
            return [(f"{folder}{entry.name}/", None)]
        if entry.is_file() and not entry.name.endswith(_PARTIAL_SUFFIX):
            return [(folder + entry.name, entry.stat().st_size)]
    return []
