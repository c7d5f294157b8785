"""`examples/imagenet.py`: its command line, its messages, and runs of it on a tiny set."""

from __future__ import annotations

import json
import random
import re
import shlex
import urllib.error
from pathlib import Path
from typing import Any

import imagenet
import numpy as np
import pytest
import torch
from imagenet_script import SHORT, tiny_run, trained
from imagenet_support.arguments import DEMO_DEFAULTS, NOT_WITH_DEMO, build_parser, parse_arguments
from imagenet_support.checkpoint import random_state, set_random_state
from imagenet_support.meters import Mean, Meters, accuracy
from torchvision.models import get_model, get_model_weights

from benchmarking.imagenet_like import make_imagenet_like
from concurrent_dataloader.command_line.main import main

FLAGS_OF_THE_ISSUE = """
--arch -j --num-workers --epochs --start-epoch -b --batch-size --lr --momentum --wd -p --print-freq --resume
-e --evaluate --pretrained --seed --gpu --world-size --rank --dist-url --dist-backend --multiprocessing-distributed
--dataset --dataset-limit --fetch-impl --num-fetch-workers --prefetch-factor --batch-pool --pin-memory --use-cache
--output-base-folder --train-index-file --train-classes-file --val-index-file --val-classes-file
--s3-credential-file --local-path --demo --demo-latency-ms
"""


# --- the command line ---


def flag_and_value(name: str) -> list[str]:
    flag = f"--{name.replace('_', '-')}"
    return [flag] if name in ("evaluate", "pretrained", "multiprocessing_distributed") else [flag, "2"]


def test_help_names_every_flag_of_the_issue_and_explains_it(capsys: Any) -> None:
    with pytest.raises(SystemExit, match="0"):
        imagenet.main(["--help"])
    shown_words = set(re.split(r"[\s,|\[\]]+", capsys.readouterr().out))
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
        (["--lr", "-1"], "from 0 to inf"),
        (["--rank", "2", "--world-size", "2"], "ends at 1"),
        (["--gpu", "0", "--multiprocessing-distributed"], "uses all"),
        *((["--demo", *flag_and_value(name)], "leave out --" + name.replace("_", "-")) for name in NOT_WITH_DEMO),
        (["--num-fetch-workers", "many"], "expected a whole number or auto, got 'many'"),
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


# --- what the user has to put right ---


@pytest.mark.parametrize("dataset", ["s3", "scratch"])
def test_missing_files_are_all_named_with_the_way_to_make_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, dataset: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert imagenet.main(["--dataset", dataset, "--resume", "gone.pt"]) == 2
    told = capsys.readouterr().err
    names = [f"index-{dataset}-train.json", f"index-{dataset}-val.json", "gone.pt", "--demo"]
    for name in [*names, "imagenet-train-classes.json", "imagenet-val-classes.json"]:
        assert name in told
    assert ("credentials: s3_credentials.json" in told) == (dataset == "s3")


def commands_told(capsys: Any) -> list[list[str]]:
    """Returns the arguments of the commands in the message."""
    return [shlex.split(line) for line in re.findall(r"^ *concurrent-dataloader (.*)$", capsys.readouterr().err, re.M)]


def test_the_commands_in_the_message_make_the_missing_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    paths = make_imagenet_like(tmp_path / "all made", train_images=100, val_images=6, size=(64, 48))
    arguments = ["--dataset=scratch", f"--local-path={paths.bucket_folder}"]
    monkeypatch.chdir(tmp_path)
    train_ids = json.loads(paths.train_classes.read_text())
    Path("map_clsloc.txt").write_text("".join(f"{name} {each['id']} x\n" for name, each in train_ids.items()))
    ground_truth = json.loads(paths.val_classes.read_text())
    Path("ILSVRC2012_validation_ground_truth.txt").write_text("".join(f"{i}\n" for i in ground_truth.values()))
    assert imagenet.main(arguments) == 2
    commands = commands_told(capsys)
    assert [command[0] for command in commands] == ["index", "classes", "index", "classes"]
    for command in commands:
        folders = (word.replace("FOLDER/OF/TRAIN", "scratch/imagenet/train") for word in command)
        assert main([word.replace("FOLDER/OF/VAL", "scratch/imagenet/val") for word in folders]) == 0
    made = {
        name: json.loads(Path(name).read_text()) for name in ("index-scratch-train.json", "imagenet-val-classes.json")
    }
    assert sorted(made["index-scratch-train.json"]) == sorted(json.loads(paths.train_index.read_text()))
    assert made["imagenet-val-classes.json"] == ground_truth
    assert imagenet.main([*arguments, *SHORT, "--epochs=1", "--dataset-limit=8"]) == 0


def test_the_command_for_an_index_of_a_bucket_names_it_and_the_credentials_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s3 keys.json").write_text('{"bucket_name": "images"}')
    assert imagenet.main(["--dataset=s3", "--s3-credential-file=s3 keys.json"]) == 2
    index = commands_told(capsys)[0]
    assert index[:4] == ["index", "s3://images/FOLDER/OF/TRAIN", "--s3-credential-file", "s3 keys.json"]
    assert index[-2:] == ["-o", "index-s3-train.json"]


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, capsys: Any) -> None:
    arguments = tiny_run(tmp_path)
    (tmp_path / "text.pt").write_text("(1")
    torch.save({"state_dict": {}}, tmp_path / "another_script.pt")
    for name in ("text.pt", "another_script.pt"):
        assert imagenet.main([*arguments, f"--resume={tmp_path}/{name}"]) == 2
        assert f"{name} is no checkpoint" in capsys.readouterr().err


def test_an_image_that_is_gone_is_named_without_a_traceback(tmp_path: Path, capsys: Any) -> None:
    arguments = tiny_run(tmp_path)
    gone = next((tmp_path / "bucket").rglob("n0*.JPEG"))
    gone.unlink()
    assert imagenet.main([*arguments, f"--output-base-folder={tmp_path}"]) == 2
    told = capsys.readouterr().err
    assert gone.name in told
    assert "Traceback" not in told


def test_more_processes_without_a_meeting_place_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    assert imagenet.main([*tiny_run(tmp_path), "--world-size=2"]) == 2
    assert "--dist-url" in capsys.readouterr().err


# --- runs ---


def test_a_resumed_run_ends_exactly_where_an_unbroken_one_does(tmp_path: Path) -> None:
    arguments = tiny_run(tmp_path)
    unbroken = trained([*arguments, "--epochs=2"], tmp_path / "unbroken")
    trained([*arguments, "--epochs=1"], tmp_path / "first")
    # Another seed: what the second half draws has to come from the checkpoint.
    second = [*arguments, "--epochs=2", "--seed=99", f"--resume={tmp_path}/first/checkpoints/last.pt"]
    resumed = trained(second, tmp_path / "second")
    assert resumed["epoch"] == unbroken["epoch"] == 2
    assert resumed["best_top1"] == unbroken["best_top1"]
    torch.testing.assert_close(resumed["model"], unbroken["model"], rtol=0, atol=0)
    torch.testing.assert_close(resumed["optimizer"], unbroken["optimizer"], rtol=0, atol=0)
    assert torch.equal(resumed["random_states"][0]["torch"], unbroken["random_states"][0]["torch"])


def test_the_learning_rate_of_a_late_epoch_is_that_of_the_schedule(tmp_path: Path) -> None:
    state = trained([*tiny_run(tmp_path), "--start-epoch=60", "--epochs=61"], tmp_path)
    (group,) = state["optimizer"]["param_groups"]
    assert group["lr"] == pytest.approx(0.01 * 0.1**2)


def test_a_checkpoint_can_be_validated_alone_and_goes_only_with_its_own_model(tmp_path: Path, capsys: Any) -> None:
    arguments = tiny_run(tmp_path)
    state = trained([*arguments, "--epochs=1"], tmp_path / "first")
    best = f"--resume={tmp_path}/first/checkpoints/model_best.pt"
    capsys.readouterr()
    assert imagenet.main([*arguments, "-e", best, f"--output-base-folder={tmp_path}/none"]) == 0
    assert f"acc@1 {state['best_top1']:.2f} %" in capsys.readouterr().out.splitlines()[-1]
    assert not (tmp_path / "none").exists()
    for flag, message in (
        ("--arch=resnet34", "add --arch resnet18"),
        ("--num-classes=7", "leave out --num-classes 7"),
        ("--epochs=1", "raise --epochs"),
    ):
        assert imagenet.main([*arguments, best, flag]) == 2
        assert message in capsys.readouterr().err


# --- torchvision's weights ---


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of downloaded weights, empty, on a machine without a network."""

    def offline(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torch.hub, "urlopen", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_pretrained_without_a_network_says_what_to_download(tmp_path: Path, hub: Path, capsys: Any) -> None:
    assert imagenet.main([*tiny_run(tmp_path), "--pretrained"]) == 2
    told = capsys.readouterr().err
    assert get_model_weights("resnet18").DEFAULT.url in told
    assert str(hub) in told


def test_pretrained_takes_every_weight_that_fits_and_names_the_others(tmp_path: Path, hub: Path, capsys: Any) -> None:
    weights = get_model("squeezenet1_1").state_dict()
    torch.save(weights, hub / Path(get_model_weights("squeezenet1_1").DEFAULT.url).name)
    state = trained([*tiny_run(tmp_path), "--pretrained", "--arch=squeezenet1_1", "--lr=0", "--epochs=1"], tmp_path)
    assert "classifier.1.weight, classifier.1.bias start anew" in capsys.readouterr().out
    assert all(torch.equal(state["model"][name], weights[name]) for name in weights if "classifier" not in name)
