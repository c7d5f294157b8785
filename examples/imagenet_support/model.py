"""The classifier: new, with torchvision's weights, or out of a checkpoint."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import torch
from torch import nn
from torchvision.models import get_model, get_model_weights

from imagenet_support.distributed import Place
from imagenet_support.files import UserError

IMAGENET_CLASSES = 1000


def count_outputs(args: Namespace, checkpoint: dict[str, Any] | None, needed: int | None) -> int:
    """Returns the model's number of outputs.

    Args:
        args: The command line.
        checkpoint: What the run goes on from, if anything.
        needed: How many outputs the training classes need; None where that is not known.

    Raises:
        UserError: Checkpoint, flag and classes do not go together.
    """
    known = checkpoint["num_classes"] if checkpoint else None
    if args.num_classes is not None and known not in (None, args.num_classes):
        raise UserError(f"{args.resume} has a model with {known} outputs: leave out --num-classes {args.num_classes}")
    outputs = known or args.num_classes or needed or IMAGENET_CLASSES
    if needed is not None and outputs < needed:
        raise UserError(f"{args.train_classes_file} has class ids for {needed} outputs, but the model has {outputs}")
    return int(outputs)


def build_model(args: Namespace, outputs: int, checkpoint: dict[str, Any] | None, place: Place) -> nn.Module:
    """Returns the model, on the CPU.

    Args:
        args: The command line.
        outputs: Its number of outputs.
        checkpoint: Where its weights come from, if there is one; it goes before ``--pretrained``.
        place: This process; the first one reports.

    Raises:
        UserError: The checkpoint is of another model, or weights cannot be downloaded.
    """
    if checkpoint and checkpoint["arch"] != args.arch:
        raise UserError(f"{args.resume} holds a {checkpoint['arch']}: add --arch {checkpoint['arch']}")
    model: nn.Module = get_model(args.arch, num_classes=outputs)
    if checkpoint:
        model.load_state_dict(checkpoint["model"])
    elif args.pretrained:
        new = _take_over(_pretrained(args.arch), model)
        if new and place.rank == 0:
            print(f"--pretrained: {', '.join(new)} start anew, as the model has {outputs} outputs")
    return model


def _pretrained(arch: str) -> dict[str, Any]:
    try:
        weights: dict[str, Any] = get_model(arch, weights="DEFAULT", progress=False).state_dict()
    except (OSError, RuntimeError) as error:  # no connection; a file that is not the one that was announced
        raise UserError(
            f"--pretrained: the weights of {arch} cannot be downloaded ({error}).\n"
            f"  Download {get_model_weights(arch).DEFAULT.url}\n"
            f"  by other means and put it in {torch.hub.get_dir()}/checkpoints"
        ) from error
    return weights


def _take_over(weights: dict[str, Any], model: nn.Module) -> list[str]:
    """Loads what fits into a model, and returns the names of its parameters that nothing fitted."""
    own = model.state_dict()
    fitting = {name: value for name, value in weights.items() if value.shape == own[name].shape}
    model.load_state_dict(fitting, strict=False)
    return [name for name in own if name not in fitting]
