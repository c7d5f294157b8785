"""Reads the small JSON files: classes and credentials."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from concurrent_dataloader._base.errors import FileFormatError, MissingFileError


def read_json_object(path: Path, error_type: type[FileFormatError], expected: str) -> dict[str, object]:
    """Reads a file that holds one JSON object.

    Args:
        path: The file.
        error_type: What to raise when it is something else.
        expected: What the file should hold, for the message.

    Raises:
        MissingFileError: There is no such file.
        FileFormatError: Of ``error_type``. The message quotes nothing of the file, which may hold secrets.
    """
    try:
        body = path.read_bytes()
    except FileNotFoundError:
        raise MissingFileError(f"there is no file {path}; {expected}") from None
    except OSError as error:
        raise error_type(f"{path} cannot be read: {error.strerror}; {expected}") from error
    value, text, problem = None, "", "does not hold a JSON object"
    try:
        text = body.decode("utf-8-sig")
        value = json.loads(text, object_pairs_hook=_each_once)
    except UnicodeDecodeError as error:
        problem = f"is no UTF-8 text at byte {error.start}"
    except json.JSONDecodeError as error:
        problem = f"is not JSON at byte {len(text[: error.pos].encode())} (line {error.lineno}): {error.msg}"
    except (ValueError, RecursionError) as error:  # two entries of one name, or what Python's parser has limits for
        problem = f"cannot be read as JSON: {error}"
    if not isinstance(value, dict):
        # Raised out here: both decoders' errors carry the whole text, which must not travel as this error's context.
        raise error_type(f"{path} {problem}; {expected}")
    return value


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuses a name that stands twice in one object, of which JSON's parser would silently keep the last."""
    entries = dict(pairs)
    if len(entries) < len(pairs):
        name, count = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"{count} entries are named {name!r}")
    return entries
