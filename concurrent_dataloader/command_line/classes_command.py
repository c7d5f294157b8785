"""``concurrent-dataloader classes``: makes the train or the validation classes file."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from concurrent_dataloader._base.errors import ClassesFileError, OptionError
from concurrent_dataloader.command_line.command import EXIT_OK, Command
from concurrent_dataloader.command_line.output import say, tell
from concurrent_dataloader.dataset.classes import TrainClasses, load_classes
from concurrent_dataloader.dataset.classes_writer import write_classes
from concurrent_dataloader.dataset.index_file import load_index
from concurrent_dataloader.dataset.synset_files import read_synset_ids, read_synset_words
from concurrent_dataloader.dataset.train_classes_maker import ClassesBy, class_names, train_classes
from concurrent_dataloader.dataset.val_classes_maker import (
    translation,
    val_classes_from_ground_truth,
    val_classes_from_solution,
)
from concurrent_dataloader.storage import LocalStore

# Which options go with which source; "source" is the index or folder.
_GOES_WITH = {
    "source": {"by", "suffix", "first_id", "names", "ids"},
    "ground_truth": {"ids", "train_classes"},
    "solution": {"train_classes"},
}


def _add_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "source",
        nargs="?",
        metavar="INDEX|FOLDER",
        help="train classes: the index, or the local tree, to take them from",
    )
    add("--ground-truth", type=Path, metavar="FILE", help="validation classes: ILSVRC2012_validation_ground_truth.txt")
    add("--solution", type=Path, metavar="FILE", help="validation classes: LOC_val_solution.csv")
    add("-o", "--output", type=Path, required=True, metavar="FILE", help="the classes file to write")
    train = parser.add_argument_group("for train classes")
    train.add_argument(
        "--by", choices=get_args(ClassesBy), help="what names the class: the folder (default), or the file name alone"
    )
    train.add_argument("--suffix", action="append", help="take only files that end in it; may be repeated")
    train.add_argument("--first-id", type=int, choices=(0, 1), help="id of the first class in sorted order (1)")
    train.add_argument("--names", type=Path, metavar="FILE", help="names: LOC_synset_mapping.txt")
    parser.add_argument("--ids", type=Path, metavar="FILE", help="ids of ImageNet's development kit: map_clsloc.txt")
    parser.add_argument(
        "--train-classes", type=Path, metavar="FILE", help="for validation classes: the train classes whose ids to use"
    )


def _run(arguments: Namespace) -> int:
    source = _source_of(arguments)
    if source == "source":
        entries: dict[str, object] = dict(_train(arguments))
    elif source == "solution":
        if arguments.train_classes is None:
            raise OptionError("--solution names synsets: give the train classes that say their ids as --train-classes")
        entries = dict(val_classes_from_solution(arguments.solution, _ids_of(arguments.train_classes)))
    else:
        entries = dict(_val_from_ground_truth(arguments))
    write_classes(arguments.output, entries)
    say(f"{arguments.output}: {len(entries):,} {'classes' if source == 'source' else 'images'}")
    return EXIT_OK


def _source_of(arguments: Namespace) -> str:
    given = [name for name in _GOES_WITH if getattr(arguments, name) is not None]
    if len(given) != 1:
        raise OptionError("expected one of INDEX|FOLDER, --ground-truth and --solution to make the classes from")
    for name in set.union(*_GOES_WITH.values()) - _GOES_WITH[given[0]]:
        if getattr(arguments, name) is not None:
            source = "INDEX|FOLDER" if given[0] == "source" else _flag(given[0])
            raise OptionError(f"{_flag(name)} has no meaning with {source}")
    return given[0]


def _train(arguments: Namespace) -> dict[str, object]:
    classes = class_names(_keys(arguments.source, arguments.suffix), arguments.by or "folder")
    return dict(
        train_classes(
            classes,
            first_id=1 if arguments.first_id is None else arguments.first_id,
            names=None if arguments.names is None else read_synset_words(arguments.names),
            ids=None if arguments.ids is None else read_synset_ids(arguments.ids),
        )
    )


def _keys(source: str, suffixes: list[str] | None) -> Iterator[str]:
    if "://" in source:
        raise OptionError(f"{source!r}: expected an index file or a local folder; list a bucket into an index first")
    is_tree = Path(source).is_dir()
    keys = (each.key for each in LocalStore(source).list()) if is_tree else iter(load_index(source))
    endings = tuple(suffix.lower() for suffix in suffixes or ("",))
    return (key for key in keys if key.lower().endswith(endings))


def _val_from_ground_truth(arguments: Namespace) -> dict[str, int]:
    if (arguments.ids is None) != (arguments.train_classes is None):
        raise OptionError(
            "--ids and --train-classes go together: the one says which synset an id of the list is, the other which "
            "id that synset has in training"
        )
    if arguments.ids is None:
        tell(
            "note: the ids of ImageNet's list are those of its development kit. They fit train classes that were made "
            "with --ids map_clsloc.txt, and not those in sorted order; for these give --ids and --train-classes"
        )
        return val_classes_from_ground_truth(arguments.ground_truth)
    steps = translation(read_synset_ids(arguments.ids), _ids_of(arguments.train_classes))
    return val_classes_from_ground_truth(arguments.ground_truth, steps)


def _ids_of(path: Path) -> dict[str, int]:
    """Returns the train classes' ids as they stand in the file."""
    classes = load_classes(path, class_id_base=0)
    if not isinstance(classes, TrainClasses):
        raise ClassesFileError(f"{path} holds validation classes; expected train classes")
    return classes.targets


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


CLASSES = Command("classes", "makes the train or the validation classes file", _add_arguments, _run)
