"""What the flags of `imagenet.py` accept; argparse turns what they raise into its message."""

from __future__ import annotations

import difflib
from argparse import ArgumentTypeError
from collections.abc import Callable

from torchvision import models

# Their auxiliary outputs need a training loop of their own.
UNFIT_ARCHS = {"googlenet", "inception_v3"}


def at_least(lowest: int) -> Callable[[str], int]:
    """Returns the type of a whole number from ``lowest`` on."""

    def integer(text: str) -> int:
        if (value := int(text)) < lowest:
            raise ArgumentTypeError(f"{value} is too small: it has to be at least {lowest}")
        return value

    return integer


def between(lowest: float, highest: float = float("inf")) -> Callable[[str], float]:
    """Returns the type of a number within two bounds, which belong to it."""

    def number(text: str) -> float:
        if not lowest <= (value := float(text)) <= highest:
            raise ArgumentTypeError(f"{text} is out of range: it has to be from {lowest:g} to {highest:g}")
        return value

    return number


def count_or_auto(text: str) -> int | str:
    """The type of a number of fetch workers."""
    if text == "auto":
        return text
    try:
        return at_least(1)(text)
    except ValueError:
        raise ArgumentTypeError(f"expected a whole number or auto, got {text!r}") from None


def arch(text: str) -> str:
    """The type of a classifier's name."""
    known = set(models.list_models(module=models)) - UNFIT_ARCHS
    if text not in known:
        near = difflib.get_close_matches(text, known) or ["resnet18", "resnet50", "vit_b_16"]
        raise ArgumentTypeError(f"there is no classifier {text!r}; there are {', '.join(near)} and others")
    return text
