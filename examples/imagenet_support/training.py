"""One pass over a loader, in training or in validation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from imagenet_support.meters import Meters


@dataclass
class Learner:
    """A model and what trains it.

    Attributes:
        model: The model itself; what checkpoints hold and validation runs.
        trained: What training runs: the model, or the model in ``DistributedDataParallel``.
        optimizer: Updates the model's weights.
        scheduler: Sets the learning rate; stepped once an epoch.
        device: Where the model is.
    """

    model: nn.Module
    trained: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    device: torch.device


Batches = Iterable[tuple[Tensor, Tensor]]


def train_epoch(learner: Learner, batches: Batches, report: Callable[[Meters, int], None]) -> Meters:
    """Trains on each batch once.

    Args:
        learner: Model and optimizer.
        batches: Images ``(batch, 3, height, width)`` float32 and classes ``(batch,)`` int64.
        report: Called after each step with the meters and the step's number, from 1.
    """
    learner.trained.train()

    def step(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        outputs = learner.trained(images)
        loss = nn.functional.cross_entropy(outputs, targets)
        learner.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        learner.optimizer.step()
        return outputs.detach(), loss

    return _one_pass(learner.device, batches, step, report)


@torch.no_grad()
def validate(learner: Learner, batches: Batches, report: Callable[[Meters, int], None]) -> Meters:
    """Measures loss and accuracy; the arguments are those of `train_epoch`."""
    learner.model.eval()

    def step(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        outputs = learner.model(images)
        return outputs, nn.functional.cross_entropy(outputs, targets)

    return _one_pass(learner.device, batches, step, report)


def _one_pass(device: torch.device, batches: Batches, step: Callable[..., Any], report: Callable[..., None]) -> Meters:
    meters = Meters()
    mark = perf_counter()
    for number, (images, targets) in enumerate(batches, start=1):
        loaded = perf_counter()
        meters.loading_s.add(loaded - mark)
        images = images.to(device, non_blocking=True)
        targets = targets.to(device, non_blocking=True)
        outputs, loss = step(images, targets)
        meters.add_batch(loss.item(), outputs, targets)  # waits for the device, so that the next clock reading is true
        mark = perf_counter()
        meters.compute_s.add(mark - loaded)
        report(meters, number)
    meters.merge_processes(device)
    return meters
