"""The command line of `imagenet.py`: every flag, its default and its explanation."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarking.misc.init_benchmarking import DEFAULT_CREDENTIAL_FILE
from imagenet_support.flag_types import arch, at_least, between, count_or_auto

# What --demo changes: sizes that two CPU cores train in a minute, and crops that leave a digit whole and unmirrored.
DEMO_DEFAULTS: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 32,
    "image_size": 64,
    "lr": 0.01,
    "num_workers": 2,
    "min_crop_area": 0.7,
    "flip": False,
    "seed": 0,
}
# The demo brings its own files, and trains a new model in one process.
NOT_WITH_DEMO = (
    "train_index_file",
    "train_classes_file",
    "val_index_file",
    "val_classes_file",
    "s3_credential_file",
    "local_path",
    "resume",
    "evaluate",
    "pretrained",
    "multiprocessing_distributed",
    "world_size",
)


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows a flag's default unless it has none or its help text explains it."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False):
            return action.help
        return super()._get_help_string(action)


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the checked command line; ``--demo`` changes defaults, and never a flag that was given.

    Args:
        argv: The arguments without the program's name. None: those of this process.
    """
    parser = build_parser()
    if parser.parse_args(argv).demo:
        parser.set_defaults(**DEMO_DEFAULTS)
    args = parser.parse_args(argv)
    if problem := _conflict(parser, args):
        parser.error(problem)
    _name_files(args)
    return args


def _conflict(parser: argparse.ArgumentParser, args: argparse.Namespace) -> str | None:
    """Returns what is wrong about flags that do not go together."""
    if args.num_workers == 0 and args.prefetch_factor is not None:
        return "--prefetch-factor is for worker processes: with --num-workers 0 use --batch-pool"
    if args.rank >= args.world_size:
        return f"--rank {args.rank} is too large: with --world-size {args.world_size} it ends at {args.world_size - 1}"
    if args.gpu is not None and args.multiprocessing_distributed:
        return "--gpu names one device, and --multiprocessing-distributed uses all"
    if args.demo:
        for name in NOT_WITH_DEMO:
            if getattr(args, name) != parser.get_default(name):
                return f"--demo makes its own files and trains in one process: leave out --{name.replace('_', '-')}"
    return None


def _name_files(args: argparse.Namespace) -> None:
    """Gives the files that were not named the names that `get_dataset` expects."""
    for split in ("train", "val"):
        for name, usual in (
            (f"{split}_index_file", f"index-{args.dataset}-{split}.json"),
            (f"{split}_classes_file", f"imagenet-{split}-classes.json"),
        ):
            setattr(args, name, getattr(args, name) or Path(usual))
    args.local_path = args.local_path or Path()
    if args.s3_credential_file is None and (args.dataset == "s3" or Path(DEFAULT_CREDENTIAL_FILE).exists()):
        args.s3_credential_file = Path(DEFAULT_CREDENTIAL_FILE)


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        usage="%(prog)s [--demo] [flags]; %(prog)s --help explains each flag",
        description="Trains an ImageNet classifier from S3 or local disk through the concurrent loader.",
        epilog="Several processes: start it with torchrun, or see the flags under 'device and processes'.",
        formatter_class=_Formatter,
    )
    _add_training(parser.add_argument_group("training"))
    _add_data(parser.add_argument_group("data"))
    _add_loading(parser.add_argument_group("loading"))
    _add_output(parser.add_argument_group("progress and output"))
    _add_processes(parser.add_argument_group("device and processes"))
    _add_demo(parser.add_argument_group("demo"))
    return parser


def _add_training(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    whole: dict[str, Any] = {"type": at_least(1), "metavar": "N"}
    rate: dict[str, Any] = {"type": between(0.0), "metavar": "X"}
    share: dict[str, Any] = {"type": between(0.0, 1.0), "metavar": "X"}
    add("-a", "--arch", type=arch, default="resnet18", metavar="NAME", help="a classifier of torchvision.models")
    add("--pretrained", action="store_true", help="start from torchvision's weights, which are downloaded once")
    add("--epochs", **whole, default=90, help="epochs to have trained in the end, resumed ones included")
    add(
        "--start-epoch",
        type=at_least(0),
        metavar="N",
        help="epoch to begin with, from 0; default: 0, or where --resume stopped",
    )
    add("-b", "--batch-size", **whole, default=256, help="samples of one step, over all processes together")
    add("--lr", **rate, default=0.1, help="learning rate at the start; a tenth of it after each 30 epochs")
    add("--momentum", **rate, default=0.9, help="momentum of SGD")
    add("--wd", "--weight-decay", **rate, default=1e-4, help="weight decay of SGD")
    add(
        "--seed",
        type=at_least(0),
        metavar="N",
        help="seed of weights, shuffling and augmentation; default: none, so that runs differ",
    )
    add("-e", "--evaluate", action="store_true", help="validate once and stop, with the model of --resume if given")
    add("--image-size", **whole, default=224, help="side of the square that the model sees, in pixels")
    add("--min-crop-area", **share, default=0.08, help="smallest share of a picture in a training crop, 0 to 1")
    add("--flip", action=argparse.BooleanOptionalAction, default=True, help="mirror half of the training pictures")


def _add_data(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--dataset", choices=("s3", "scratch"), default="s3", help="where the images are: a bucket, or local disk")
    add(
        "--dataset-limit",
        type=at_least(1),
        metavar="N",
        help="use only the first so many images of each set; default: all",
    )
    add(
        "--local-path",
        type=Path,
        metavar="FOLDER",
        help="scratch: folder below which the index's paths lie; default: the working directory",
    )
    for split, what in (("train", "training"), ("val", "validation")):
        add(
            f"--{split}-index-file",
            type=Path,
            metavar="FILE",
            help=f"JSON list of the {what} images: keys in the bucket, or paths below --local-path; "
            f"default: index-s3-{split}.json or index-scratch-{split}.json",
        )
        add(
            f"--{split}-classes-file",
            type=Path,
            metavar="FILE",
            help=f"JSON file with the classes of the {what} images; default: imagenet-{split}-classes.json",
        )
    add(
        "--s3-credential-file",
        type=Path,
        metavar="FILE",
        help="JSON file with bucket, endpoint and access keys; keys of your AWS environment go before those in it; "
        f"default: {DEFAULT_CREDENTIAL_FILE} (scratch: only if it is there)",
    )
    add(
        "--num-classes",
        type=at_least(1),
        metavar="N",
        help="outputs of the model; default: what the training classes need, or 1000",
    )
    add("--use-cache", action="store_true", help="keep what was read in a cache on local disk, for later epochs")


def _add_loading(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        *("-j", "--num-workers", "--workers"),
        type=at_least(0),
        default=min(4, os.cpu_count() or 1),
        metavar="N",
        help="worker processes of each loader: CPU work",
    )
    add(
        "--fetch-impl",
        choices=("threaded", "asyncio", "vanilla"),
        default="threaded",
        help="how a worker overlaps its reads; vanilla: not at all, as torch's own loader",
    )
    add(
        "--num-fetch-workers",
        type=count_or_auto,
        default="auto",
        metavar="N",
        help="images that each worker reads at once, or auto: waiting, not CPU work",
    )
    add(
        "--prefetch-factor",
        type=at_least(1),
        metavar="N",
        help="batches that each worker prepares ahead; default: torch's 2",
    )
    add(
        "--batch-pool",
        type=at_least(1),
        metavar="N",
        help="batches of each worker whose images may be on their way at once; default: --prefetch-factor",
    )
    add(
        "--pin-memory",
        action=argparse.BooleanOptionalAction,
        help="hand batches over in page-locked memory; default: on CUDA only",
    )


def _add_output(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        *("-p", "--print-freq"),
        type=at_least(1),
        default=10,
        metavar="N",
        help="steps from one progress line to the next",
    )
    add(
        "--resume",
        type=Path,
        metavar="FILE",
        help="checkpoint to go on from, such as output/checkpoints/last.pt; its learning rate, momentum and weight "
        "decay go on too",
    )
    add(
        "--output-base-folder",
        type=Path,
        default=Path("output"),
        metavar="FOLDER",
        help="folder for checkpoints and for the demo's data",
    )


def _add_processes(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--gpu", type=at_least(0), metavar="N", help="CUDA device to use; default: each process its own")
    add(
        "--multiprocessing-distributed",
        action="store_true",
        help="start one process for each CUDA device of this machine; torchrun does this without the flag",
    )
    add(
        "--world-size",
        type=at_least(1),
        default=1,
        metavar="N",
        help="machines that take part, or processes without --multiprocessing-distributed; torchrun sets its own",
    )
    add("--rank", type=at_least(0), default=0, metavar="N", help="number of this machine or process, from 0")
    add(
        "--dist-url",
        default="env://",
        metavar="URL",
        help="where the processes meet, for instance tcp://10.0.0.1:23456; env:// takes MASTER_ADDR and MASTER_PORT",
    )
    add(
        "--dist-backend",
        choices=("nccl", "gloo"),
        help="backend of torch.distributed; default: nccl on CUDA, gloo elsewhere",
    )


def _add_demo(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    changed = ", ".join(
        f"--{name.replace('_', '-')} {value}" for name, value in DEMO_DEFAULTS.items() if name != "flip"
    )
    add(
        "--demo",
        action="store_true",
        help="needs nothing prepared: makes pictures (--dataset-limit: fewer), serves them from an S3 endpoint of its "
        f"own, trains on them, then measures torch's loader and this one; defaults become {changed} and --no-flip",
    )
    add(
        "--demo-latency-ms",
        type=between(0.0),
        default=50.0,
        metavar="X",
        help="milliseconds that the demo's endpoint adds to each answer",
    )
