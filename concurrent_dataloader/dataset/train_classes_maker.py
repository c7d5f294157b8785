"""Makes the train classes file from the keys of a data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, TypedDict, get_args

from concurrent_dataloader._base.errors import ClassesFileError, OptionError

ClassesBy = Literal["folder", "file-name"]

_REMEDIES = (
    "The loader looks a class up by the file name's part before its last '_'. Rename the files to FOLDER_NAME; or, if "
    "the file names do carry the classes, ask for them (--by file-name); or leave out what is no image (--suffix .jpg)"
)


class TrainClass(TypedDict):
    """One entry of the train classes file.

    Attributes:
        id: The class id.
        name: What people call it.
    """

    id: int
    name: str


TrainClassesFile = dict[str, TrainClass]


def class_names(keys: Iterable[str], by: ClassesBy = "folder") -> list[str]:
    """Returns the classes of some keys, each once, in the order of their code points.

    The loader finds a key's class by the file name's part before its last ``_`` (``n01440764_10026.JPEG`` gives
    ``n01440764``), wherever the file lies. Keys for which that would not work are refused.

    Args:
        keys: Keys or paths, taken one after another.
        by: ``"folder"``: the class is the name of the folder that the file lies in, and file names have to begin with
            it. ``"file-name"``: the class is what the file name says, whatever the folder is called.

    Raises:
        OptionError: ``by`` is neither.
        ClassesFileError: Some keys do not fit; the message has their number, the first of them, and what to do.
    """
    if by not in get_args(ClassesBy):
        raise OptionError(f"by: expected one of {', '.join(get_args(ClassesBy))}, got {by!r}")
    found: set[str] = set()
    total = misfits = 0
    first_problem = ""
    for key in keys:
        total += 1
        path, _, file_name = key.rpartition("/")
        prefix = file_name.rpartition("_")[0]
        problem = _problem(file_name, prefix) or (_folder_problem(path, prefix) if by == "folder" else "")
        if problem:
            misfits += 1
            first_problem = first_problem or f"{key}: {problem}"
        else:
            found.add(prefix)
    if misfits:
        raise ClassesFileError(f"{misfits} of {total} keys give no class, the first is {first_problem}. {_REMEDIES}")
    if not found:
        raise ClassesFileError("there are no keys to take classes from")
    return sorted(found)


def train_classes(
    classes: Iterable[str],
    *,
    first_id: int = 1,
    names: Mapping[str, str] | None = None,
    ids: Mapping[str, tuple[int, str]] | None = None,
) -> TrainClassesFile:
    """Returns the entries of the train classes file: ``{"n01440764": {"id": 1, "name": "tench"}, ...}``.

    Args:
        classes: The classes, each once, in the order in which they are numbered.
        first_id: Id of the first class: 0 or 1. Targets run from 0 either way.
        names: What people call the classes (see `read_synset_words`); None: a class is its own name.
        ids: Ids and names to use in place of the order (see `read_synset_ids`); a class id of ImageNet's development
            kit is needed where the validation classes are those of its ground truth list.

    Raises:
        OptionError: ``first_id`` is neither 0 nor 1, or goes along with ``ids``.
        ClassesFileError: ``names`` or ``ids`` lacks a class.
    """
    if type(first_id) is not int or first_id not in (0, 1):
        raise OptionError(f"first_id: expected 0 or 1, from which the loader reads where ids begin, got {first_id!r}")
    classes = list(classes)
    if ids is not None:
        if first_id != 1:
            raise OptionError("first_id: the ids are given, so that it would have no effect; leave one of them out")
        _require(classes, ids, "id")
        numbered: TrainClassesFile = {name: {"id": ids[name][0], "name": ids[name][1]} for name in classes}
        numbered = dict(sorted(numbered.items(), key=lambda entry: entry[1]["id"]))
    else:
        numbered = {name: {"id": number, "name": name} for number, name in enumerate(classes, start=first_id)}
    if names is not None:
        _require(classes, names, "name")
        for name, entry in numbered.items():
            entry["name"] = names[name]
    return numbered


def _problem(file_name: str, prefix: str) -> str:
    if prefix:
        return ""
    return "nothing before the '_' of the file name" if "_" in file_name else "no '_' in the file name"


def _folder_problem(path: str, prefix: str) -> str:
    folder = path.rpartition("/")[2]
    if folder == prefix:
        return ""
    if not folder:
        return "it lies in no folder"
    return f"it lies in folder {folder!r}, but its file name says {prefix!r}"


def _require(classes: list[str], known: Mapping[str, object], what: str) -> None:
    missing = [name for name in classes if name not in known]
    if missing:
        raise ClassesFileError(
            f"no {what} is given for {len(missing)} of {len(classes)} classes, for instance {missing[0]!r}"
        )
