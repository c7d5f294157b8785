"""`examples/imagenet.py`: its command line, its messages, and whole runs of it at a tiny size."""

from __future__ import annotations

import json
import math
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
sys.path.insert(0, str(EXAMPLES))

import imagenet  # noqa: E402  # importable from the line above on
from imagenet_support.arguments import DEMO_DEFAULTS, build_parser, parse_arguments  # noqa: E402
from imagenet_support.checkpoint import random_state, set_random_state  # noqa: E402
from imagenet_support.meters import Mean, Meters, accuracy  # noqa: E402

FLAGS_OF_THE_ISSUE = """
--arch -j --num-workers --epochs --start-epoch -b --batch-size --lr --momentum --wd -p --print-freq --resume
-e --evaluate --pretrained --seed --gpu --world-size --rank --dist-url --dist-backend --multiprocessing-distributed --dataset
--dataset-limit --fetch-impl --num-fetch-workers --prefetch-factor --batch-pool --pin-memory --use-cache
--output-base-folder --train-index-file --train-classes-file --val-index-file --val-classes-file
--s3-credential-file --local-path --demo --demo-latency-ms --demo-train-images --demo-val-images
"""


def run_script(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs the script as a user does, also where the project is not installed."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, str(EXAMPLES / "imagenet.py"), *map(str, arguments)]
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


# --- the command line ---


def test_help_names_every_flag_of_the_issue_and_explains_it(tmp_path: Path) -> None:
    shown = run_script("--help", cwd=tmp_path)
    assert shown.returncode == 0
    shown_words = set(re.split(r"[\s,|\[\]]+", shown.stdout))
    assert set(FLAGS_OF_THE_ISSUE.split()) - shown_words == set()
    assert [action.dest for action in build_parser()._actions if not action.help] == []


def test_demo_changes_defaults_but_never_a_flag_that_was_given() -> None:
    args = parse_arguments(["--demo", "--epochs", "5"])
    assert args.epochs == 5
    assert args.image_size == DEMO_DEFAULTS["image_size"]
    assert parse_arguments([]).image_size == 224


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--arch", "resnet81"], "resnet18"),
        (["--epochs", "0"], "at least 1"),
        (["--num-fetch-workers", "many"], "num-fetch-workers"),
        (["-j", "0", "--prefetch-factor", "2"], "--batch-pool"),
    ],
)
def test_a_wrong_argument_is_refused_with_a_hint(arguments: list[str], message: str, capsys: Any) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse_arguments(arguments)
    assert message in capsys.readouterr().err


# --- meters and accuracy ---


def test_a_mean_weighs_its_values() -> None:
    mean = Mean()
    assert mean.value == 0.0
    mean.add(1.0, weight=3)
    mean.add(5.0)
    assert (mean.value, mean.last) == (2.0, 5.0)


def test_accuracy_counts_hits_among_the_k_best() -> None:
    outputs = torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    assert accuracy(outputs, torch.tensor([0, 1, 0, 0]), (1, 2)) == [25.0, 50.0]


def test_accuracy_of_more_ranks_than_classes_is_whole() -> None:
    assert accuracy(torch.zeros(2, 3), torch.tensor([0, 2]), (5,)) == [100.0]


def test_meters_weigh_a_short_last_batch_by_its_samples() -> None:
    meters = Meters()
    meters.add_batch(1.0, torch.eye(2), torch.tensor([0, 1]))
    meters.add_batch(4.0, torch.eye(2)[:1], torch.tensor([1]))
    assert meters.loss.value == pytest.approx(2.0)
    assert meters.top1.value == pytest.approx(200 / 3)


def test_a_progress_line_tells_loading_from_compute() -> None:
    meters = Meters()
    meters.loading_s.add(0.25)
    meters.compute_s.add(0.5)
    line = meters.line("epoch 1/2", 3, 12)
    assert "epoch 1/2  3/12" in line
    assert "loading 0.250 s" in line
    assert "compute 0.500 s" in line


def test_random_state_restores_every_generator_and_survives_a_safe_load(tmp_path: Path) -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    torch.save(random_state(), tmp_path / "state.pt")
    first = draw()
    set_random_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert draw() == first


# --- missing files ---


@pytest.mark.parametrize("dataset", ["s3", "scratch"])
def test_missing_files_are_all_named_with_the_command_that_makes_them(tmp_path: Path, dataset: str) -> None:
    result = run_script("--dataset", dataset, "--resume", "gone.pt", cwd=tmp_path)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    for name in (f"index-{dataset}-train.json", f"index-{dataset}-val.json", "gone.pt"):
        assert name in result.stderr
    for name in ("imagenet-train-classes.json", "imagenet-val-classes.json"):
        assert name in result.stderr
    assert ("s3_credentials.json" in result.stderr) == (dataset == "s3")
    assert "index_all" in result.stderr
    assert "--demo" in result.stderr


# --- runs on local images ---


@pytest.fixture
def local_images(tmp_path: Path) -> list[str]:
    """The arguments of a tiny run on two classes of plain pictures, as ImageNet names its files."""
    generator = np.random.default_rng(0)
    classes = {"n00000001": {"id": 1, "name": "dark"}, "n00000002": {"id": 2, "name": "light"}}
    val_classes = {}
    for split, count in (("train", 16), ("val", 6)):
        keys = []
        for number in range(count):
            synset = list(classes)[number % 2]
            key = f"{split}/{synset}/{synset}_{number}.JPEG"
            if split == "val":
                key = f"val/ILSVRC2012_val_{number + 1:08d}.JPEG"
                val_classes[str(number)] = classes[synset]["id"]
            (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
            pixels = generator.integers(0, 128, (48, 64, 3)) + 127 * (number % 2)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / key)
            keys.append(key)
        (tmp_path / f"index-{split}.json").write_text(json.dumps(keys))
    (tmp_path / "classes-train.json").write_text(json.dumps(classes))
    (tmp_path / "classes-val.json").write_text(json.dumps(val_classes))
    files = [
        f"--{split}-{kind}-file={tmp_path}/{kind}-{split}.json"
        for split in ("train", "val")
        for kind in ("index", "classes")
    ]
    sizes = ["--image-size=32", "--batch-size=8", "--num-workers=1", "--seed=3", "--lr=0.01"]
    return ["--dataset=scratch", f"--local-path={tmp_path}", *files, *sizes]


def trained(arguments: list[str], folder: Path) -> dict[str, Any]:
    """Runs the script in this process and returns its last checkpoint."""
    assert imagenet.main([*arguments, f"--output-base-folder={folder}"]) == 0
    state: dict[str, Any] = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)
    return state


def test_a_resumed_run_ends_exactly_where_an_unbroken_one_does(local_images: list[str], tmp_path: Path) -> None:
    unbroken = trained([*local_images, "--epochs=2"], tmp_path / "unbroken")
    trained([*local_images, "--epochs=1"], tmp_path / "first")
    # Another seed: what the second half draws has to come from the checkpoint.
    second = [*local_images, "--epochs=2", "--seed=99", f"--resume={tmp_path}/first/checkpoints/last.pt"]
    resumed = trained(second, tmp_path / "second")
    assert resumed["epoch"] == unbroken["epoch"] == 2
    assert resumed["best_top1"] == unbroken["best_top1"]
    assert resumed["scheduler"] == unbroken["scheduler"]
    torch.testing.assert_close(resumed["model"], unbroken["model"], rtol=0, atol=0)
    torch.testing.assert_close(resumed["optimizer"], unbroken["optimizer"], rtol=0, atol=0)
    assert torch.equal(resumed["random_states"][0]["torch"], unbroken["random_states"][0]["torch"])


def test_evaluate_validates_the_checkpoint_and_writes_nothing(
    local_images: list[str], tmp_path: Path, capsys: Any
) -> None:
    state = trained([*local_images, "--epochs=1"], tmp_path / "first")
    best = tmp_path / "first" / "checkpoints" / "model_best.pt"
    capsys.readouterr()
    assert imagenet.main([*local_images, "-e", f"--resume={best}", f"--output-base-folder={tmp_path}/none"]) == 0
    shown = capsys.readouterr().out
    assert f"validation: acc@1 {state['best_top1']:.2f} %" in shown
    assert not (tmp_path / "none").exists()


def test_a_checkpoint_of_another_model_is_refused_by_name(local_images: list[str], tmp_path: Path, capsys: Any) -> None:
    trained([*local_images, "--epochs=1"], tmp_path / "first")
    last = tmp_path / "first" / "checkpoints" / "last.pt"
    assert imagenet.main([*local_images, "--arch=resnet34", f"--resume={last}"]) == 2
    assert "--arch resnet18" in capsys.readouterr().err


# --- the demo ---


def test_the_demo_trains_from_its_own_endpoint_and_prints_the_table(tmp_path: Path) -> None:
    sizes = ["--demo-train-images=64", "--demo-val-images=32", "--demo-latency-ms=10", "--num-workers=1"]
    result = run_script("--demo", *sizes, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert len(re.findall(r"epoch \d/2 validation: acc@1", result.stdout)) == 2
    rows = [line for line in result.stdout.splitlines() if line.startswith("|")][2:]
    assert len(rows) == 4
    rates = [float(row.split("|")[3]) for row in rows]
    assert all(math.isfinite(rate) and rate > 0 for rate in rates)
    assert (tmp_path / "output" / "demo").is_dir()
