from __future__ import annotations

import json
from pathlib import Path

import pytest

from concurrent_dataloader.command_line.main import main
from concurrent_dataloader.dataset.classes import load_classes

KEYS = ["train/n02119789/n02119789_1.JPEG", "train/n01440764/n01440764_1.JPEG", "train/n01751748/n01751748_1.JPEG"]
IDS = "n02119789 1 kit_fox\nn01440764 449 tench\nn01751748 490 sea_snake\n"
WORDS = "n01440764 tench, Tinca tinca\nn01751748 sea snake\nn02119789 kit fox, Vulpes macrotis\n"
SOLUTION = (
    "ImageId,PredictionString\nILSVRC2012_val_00000002,n02119789 1 2 3 4\nILSVRC2012_val_00000001,n01751748 1 2 3 4\n"
)


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    texts = {
        "index.json": json.dumps(KEYS),
        "ids.txt": IDS,
        "words.txt": WORDS,
        "val.csv": SOLUTION,
        "truth.txt": "490\n1\n",
    }
    for name, text in texts.items():
        Path(name).write_text(text)
    for key in KEYS:
        Path(key).parent.mkdir(parents=True)
        Path(key).write_bytes(b"")
    return tmp_path


def made(*arguments: str):
    assert main(["classes", *arguments, "-o", "out.json"]) == 0
    return json.loads(Path("out.json").read_text())


@pytest.mark.parametrize("source", ["index.json", "train", "."])
def test_train_classes_come_from_an_index_or_a_tree(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    extra = ["--suffix", ".jpeg"] if source == "." else []
    assert made(source, *extra) == {
        "n01440764": {"id": 1, "name": "n01440764"},
        "n01751748": {"id": 2, "name": "n01751748"},
        "n02119789": {"id": 3, "name": "n02119789"},
    }
    assert capsys.readouterr() == ("out.json: 3 classes\n", "")


def test_ids_may_start_at_0_and_names_come_from_the_synset_words() -> None:
    assert made("index.json", "--first-id", "0", "--names", "words.txt")["n02119789"] == {"id": 2, "name": "kit_fox"}


def test_ids_may_be_those_of_imagenets_development_kit() -> None:
    assert made("index.json", "--ids", "ids.txt")["n02119789"] == {"id": 1, "name": "kit_fox"}


def test_classes_may_come_from_file_names_alone() -> None:
    Path("flat.json").write_text('["all/dog_1.jpg", "all/cat_1.jpg"]')
    assert list(made("flat.json", "--by", "file-name")) == ["cat", "dog"]


def test_a_tree_that_does_not_fit_is_refused_with_the_remedy_and_nothing_is_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("train/n02119789/notes.txt").write_text("")
    assert main(["classes", "train", "-o", "out.json"]) == 1
    error = capsys.readouterr().err
    assert "n02119789/notes.txt: no '_' in the file name" in error
    assert "--suffix" in error
    assert error.count("\n") == 1
    assert not Path("out.json").exists()


def test_ground_truth_is_taken_as_it_is_with_a_note_on_its_ids(capsys: pytest.CaptureFixture[str]) -> None:
    assert made("--ground-truth", "truth.txt") == {"0": 490, "1": 1}
    output, messages = capsys.readouterr()
    assert output == "out.json: 2 images\n"
    assert "--ids map_clsloc.txt" in messages


@pytest.mark.parametrize("val", [["--solution", "val.csv"], ["--ground-truth", "truth.txt", "--ids", "ids.txt"]])
@pytest.mark.parametrize("train", [[], ["--first-id", "0"], ["--ids", "ids.txt"]])
def test_validation_classes_that_were_made_from_train_classes_give_the_same_targets(
    val: list[str], train: list[str]
) -> None:
    assert main(["classes", "index.json", *train, "-o", "train.json"]) == 0
    assert main(["classes", *val, "--train-classes", "train.json", "-o", "val.json"]) == 0
    in_training = load_classes("train.json")
    in_validation = load_classes("val.json", class_id_base=in_training.id_base)
    assert in_validation.target_of("v_1.JPEG") == in_training.target_of(KEYS[2])
    assert in_validation.target_of("v_2.JPEG") == in_training.target_of(KEYS[0])


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "expected one of"),
        (["index.json", "--solution", "val.csv"], "expected one of"),
        (["s3://bucket/train"], "list a bucket into an index first"),
        (["--solution", "val.csv"], "--train-classes"),
        (
            ["--solution", "val.csv", "--train-classes", "t.json", "--ids", "ids.txt"],
            "--ids has no meaning with --solution",
        ),
        (["--ground-truth", "truth.txt", "--ids", "ids.txt"], "go together"),
        (["--ground-truth", "truth.txt", "--train-classes", "t.json"], "go together"),
        (["--ground-truth", "truth.txt", "--first-id", "0"], "--first-id has no meaning with --ground-truth"),
        (["index.json", "--train-classes", "t.json"], "--train-classes has no meaning with INDEX|FOLDER"),
        (["index.json", "--first-id", "0", "--ids", "ids.txt"], "first_id"),
        (["index.json", "--first-id", "7"], "--first-id"),
    ],
)
def test_wrong_use_is_said_and_gives_2(arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classes", *arguments, "-o", "out.json"]) == 2
    assert problem in capsys.readouterr().err
    assert not Path("out.json").exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["none.json"], "none.json"),
        (["index.json", "--names", "ids_short.txt"], "ids_short.txt, line 1"),
        (["--ground-truth", "words.txt"], "words.txt, line 1"),
        (["--solution", "val.csv", "--train-classes", "val.json"], "val.json holds validation classes"),
    ],
)
def test_a_bad_file_is_named_and_gives_1(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("ids_short.txt").write_text("n02119789\n")
    Path("val.json").write_text('{"0": 1}')
    assert main(["classes", *arguments, "-o", "out.json"]) == 1
    assert problem in capsys.readouterr().err
    assert not Path("out.json").exists()
