"""Files that appear whole or not at all."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast


class Part:
    """A file beside ``path`` that takes its place once it is whole.

    Readers see the old file or the new one, never a part. To be closed by `discard`, which does nothing to a file that
    was published.

    Args:
        path: What to replace; its folder is made if needed.
        named_after: The path whose name the part's begins with; ``path`` by default. For a companion file, so that
            whoever knows the main file's parts by name knows the companion's too.

    Attributes:
        file: The part, open for writing; its ``name`` is its temporary path.

    Raises:
        OSError: The folder cannot be written to, or ``path`` is a folder, a device or a pipe.
    """

    def __init__(self, path: Path, named_after: Path | None = None) -> None:
        if path.is_dir():  # else found only at the end, when all the work is done
            raise IsADirectoryError(f"{path} is a folder, and cannot be replaced by a file")
        if path.exists() and not path.is_file():  # the administrator's renaming would replace /dev/null itself
            raise FileExistsError(f"{path} is a device or a pipe; expected the name of a file, which appears whole")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._part = path.with_name(f".{(named_after or path).name}.{secrets.token_hex(4)}.part")
        self.file: BinaryIO = cast(BinaryIO, io.BufferedWriter(_Named(self._part, path)))

    def publish(self, *, durable: bool = True) -> os.stat_result:
        """Gives the part its name.

        Args:
            durable: Wait for the disk, or a power cut after the renaming could leave an empty file under the name. Not
                needed where readers check what they read and can make it again.

        Returns:
            The state of the very file that was published, whatever has taken its place since.
        """
        self.file.flush()
        if durable:
            os.fsync(self.file.fileno())
        self._part.replace(self._path)
        status = os.fstat(self.file.fileno())
        self.file.close()
        return status

    def discard(self) -> None:
        """Removes the part, unless it was published; idempotent."""
        with suppress(OSError):  # closing writes what is still held back, perhaps to a full disk: no matter any more
            self.file.close()
        self._part.unlink(missing_ok=True)


class _Named(io.FileIO):
    """A new file whose errors name what it is to replace: a full disk's do not name any file by themselves."""

    def __init__(self, part: Path, path: Path) -> None:
        super().__init__(part, "x")
        self._path = path

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError as error:
            raise type(error)(error.errno, error.strerror, str(self._path)) from error


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yields a file that takes the place of ``path`` when the block ends well, and is removed when it does not."""
    part = Part(path)
    try:
        yield part.file
        part.publish()
    finally:
        part.discard()
