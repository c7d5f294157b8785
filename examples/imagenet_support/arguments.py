"""The command line of `imagenet.py`: every flag, its default and its explanation."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Sequence
from pathlib import Path

import torchvision

from benchmarking.misc.init_benchmarking import DEFAULT_CREDENTIAL_FILE

# What --demo changes: sizes that two CPU cores train in a minute, and crops that leave a digit whole and unmirrored.
DEMO_DEFAULTS = {
    "epochs": 2,
    "batch_size": 32,
    "image_size": 64,
    "lr": 0.02,
    "num_workers": 2,
    "min_crop_area": 0.7,
    "flip": False,
    "seed": 0,
}


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows a flag's default unless it has none or its help text explains it."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False:
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
    if args.num_workers == 0 and args.prefetch_factor is not None:
        parser.error("--prefetch-factor is for worker processes: with --num-workers 0 use --batch-pool")
    _name_files(args)
    return args


def _name_files(args: argparse.Namespace) -> None:
    """Gives the files that were not named the names that `get_dataset` expects."""
    for name in ("train", "val"):
        if getattr(args, f"{name}_index_file") is None:
            setattr(args, f"{name}_index_file", Path(f"index-{args.dataset}-{name}.json"))
    if args.s3_credential_file is None and (args.dataset == "s3" or Path(DEFAULT_CREDENTIAL_FILE).exists()):
        args.s3_credential_file = Path(DEFAULT_CREDENTIAL_FILE)


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        description="Trains an ImageNet classifier from S3 or local disk through the concurrent loader.",
        epilog="Several processes: start it with torchrun, or see the flags of that group.",
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
    add("-a", "--arch", type=_arch, default="resnet18", help="name of a classifier of torchvision.models")
    add("--pretrained", action="store_true", help="start from torchvision's weights (downloaded once, 1000 classes)")
    add("--epochs", type=_at_least(1), default=90, help="epochs to have trained in the end, resumed ones included")
    add("--start-epoch", type=_at_least(0), help="epoch to begin with, from 0; default: 0, or where --resume stopped")
    add("-b", "--batch-size", type=_at_least(1), default=256, help="samples of one step, over all processes together")
    add("--lr", type=float, default=0.1, help="learning rate at the start; a tenth of it after each 30 epochs")
    add("--momentum", type=float, default=0.9, help="momentum of SGD")
    add("--wd", "--weight-decay", dest="wd", type=float, default=1e-4, help="weight decay of SGD")
    add("--seed", type=int, help="seed of weights, shuffling and augmentation; default: a new one for each run")
    add("-e", "--evaluate", action="store_true", help="validate once and stop; with --resume, the checkpoint's model")
    add("--image-size", type=_at_least(8), default=224, help="side of the square that the model sees, in pixels")
    add(
        "--min-crop-area",
        type=float,
        default=0.08,
        help="smallest part of a picture that a training crop shows, 0 to 1",
    )
    add("--flip", action=argparse.BooleanOptionalAction, default=True, help="mirror half of the training pictures")


def _add_data(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--dataset", choices=("s3", "scratch"), default="s3", help="where the images are: a bucket, or local disk")
    add("--dataset-limit", type=_at_least(1), help="use only the first so many images of each set; default: all")
    add("--local-path", type=Path, default=Path(), help="folder below which the index's paths lie (scratch)")
    for split, what in (("train", "training"), ("val", "validation")):
        add(
            f"--{split}-index-file",
            type=Path,
            help=f"JSON list of the {what} images: keys in the bucket, or paths below --local-path; "
            f"default: index-s3-{split}.json or index-scratch-{split}.json",
        )
        add(
            f"--{split}-classes-file",
            type=Path,
            default=Path(f"imagenet-{split}-classes.json"),
            help=f"JSON file with the classes of the {what} images",
        )
    add(
        "--s3-credential-file",
        type=Path,
        help="JSON file with bucket, endpoint and access keys; keys of your AWS environment go before those in it; "
        f"default: {DEFAULT_CREDENTIAL_FILE} (scratch: only if it is there)",
    )
    add(
        "--num-classes",
        type=_at_least(1),
        help="outputs of the model; default: what the training classes need, or 1000",
    )
    add("--use-cache", action="store_true", help="keep the objects that were read from S3 on local disk")


def _add_loading(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "-j",
        "--num-workers",
        "--workers",
        type=_at_least(0),
        default=4,
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
        type=_count_or_auto,
        default="auto",
        help="images that each worker reads at once, or auto: waiting, not CPU work",
    )
    add("--prefetch-factor", type=_at_least(1), help="batches that each worker prepares ahead; default: torch's 2")
    add(
        "--batch-pool",
        type=_at_least(1),
        help="batches of each worker whose images may be on their way at once; default: --prefetch-factor",
    )
    add(
        "--pin-memory",
        action=argparse.BooleanOptionalAction,
        help="hand batches over in page-locked memory; default: on CUDA only",
    )


def _add_output(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("-p", "--print-freq", type=_at_least(1), default=10, help="steps from one progress line to the next")
    add(
        "--resume",
        type=Path,
        metavar="CHECKPOINT",
        help="checkpoint to go on from, for instance output/checkpoints/last.pt",
    )
    add(
        "--output-base-folder", type=Path, default=Path("output"), help="folder for checkpoints and for the demo's data"
    )


def _add_processes(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--gpu", type=_at_least(0), help="number of the CUDA device to use; default: each process its own")
    add(
        "--multiprocessing-distributed",
        action="store_true",
        help="start one process for each CUDA device of this machine; torchrun does this without the flag",
    )
    add(
        "--world-size",
        type=_at_least(1),
        default=1,
        help="machines that take part, or processes without --multiprocessing-distributed; torchrun sets its own",
    )
    add("--rank", type=_at_least(0), default=0, help="number of this machine (or process) among those, from 0")
    add("--dist-url", default="env://", help="where the processes meet, for instance tcp://10.0.0.1:23456")
    add("--dist-backend", help="backend of torch.distributed; default: nccl on CUDA, gloo elsewhere")


def _add_demo(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    changed = ", ".join(
        f"--{name.replace('_', '-')} {value}" for name, value in DEMO_DEFAULTS.items() if name != "flip"
    )
    add(
        "--demo",
        action="store_true",
        help="prepare pictures and an S3 endpoint, train on them, then measure torch's loader and this one; "
        f"the defaults become {changed} and --no-flip",
    )
    add("--demo-train-images", type=_at_least(1), default=1280, help="training images that the demo makes")
    add("--demo-val-images", type=_at_least(1), default=320, help="validation images that the demo makes")
    add("--demo-latency-ms", type=float, default=50.0, help="milliseconds that the demo's endpoint adds to each answer")


def _at_least(lowest: int) -> Callable[[str], int]:
    def integer(text: str) -> int:
        value = int(text)
        if value < lowest:
            raise argparse.ArgumentTypeError(f"{value} is too small: it has to be at least {lowest}")
        return value

    return integer


def _count_or_auto(text: str) -> int | str:
    return text if text == "auto" else _at_least(1)(text)


def _arch(text: str) -> str:
    known = torchvision.models.list_models(module=torchvision.models)
    if text not in known:
        near = difflib.get_close_matches(text, known) or ["resnet18", "resnet50", "vit_b_16"]
        raise argparse.ArgumentTypeError(f"torchvision has no classifier {text!r}; it has {', '.join(near)} and others")
    return text
