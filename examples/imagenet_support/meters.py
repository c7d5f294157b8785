"""Running means of a pass over the data, accuracy, and the line that shows both."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from imagenet_support.distributed import sum_over_processes


@dataclass
class Mean:
    """A weighted running mean.

    Attributes:
        total: Sum of the values times their weights.
        weight: Sum of the weights.
        last: The value that was added last.
    """

    total: float = 0.0
    weight: float = 0.0
    last: float = 0.0

    def add(self, value: float, weight: float = 1.0) -> None:
        """Takes one more value in."""
        self.total += value * weight
        self.weight += weight
        self.last = value

    @property
    def value(self) -> float:
        """The mean of all values; 0 before the first."""
        return self.total / self.weight if self.weight else 0.0


@dataclass
class Meters:
    """What is measured in one pass over a loader.

    Attributes:
        loading_s: Seconds for which a step waited for its batch.
        compute_s: Seconds of a step from there on: copy to the device, forward, and in training backward and update.
        loss: Mean loss of a sample.
        top1: Percent of the samples whose class came first.
        top5: Percent of the samples whose class was among the first five.
    """

    loading_s: Mean = field(default_factory=Mean)
    compute_s: Mean = field(default_factory=Mean)
    loss: Mean = field(default_factory=Mean)
    top1: Mean = field(default_factory=Mean)
    top5: Mean = field(default_factory=Mean)

    def add_batch(self, loss: float, outputs: Tensor, targets: Tensor) -> None:
        """Takes in the results of one batch."""
        top1, top5 = accuracy(outputs, targets, (1, 5))
        for mean, value in ((self.loss, loss), (self.top1, top1), (self.top5, top5)):
            mean.add(value, len(targets))

    def merge_processes(self, device: torch.device) -> None:
        """Replaces loss and accuracies by those over the samples of all processes; every process has to call it."""
        means = (self.loss, self.top1, self.top5)
        sums = sum_over_processes([part for mean in means for part in (mean.total, mean.weight)], device)
        for i, mean in enumerate(means):
            mean.total, mean.weight = sums[2 * i], sums[2 * i + 1]

    def line(self, title: str, step: int, steps: int) -> str:
        """Returns the progress line of one step: its times, with their means so far in brackets, and mean results."""
        return (
            f"{title} {step:{len(str(steps))}d}/{steps}"
            f"  loading {self.loading_s.last:.3f} s ({self.loading_s.value:.3f})"
            f"  compute {self.compute_s.last:.3f} s ({self.compute_s.value:.3f})"
            f"  loss {self.loss.value:.3f}  acc@1 {self.top1.value:5.1f} %  acc@5 {self.top5.value:5.1f} %"
        )

    def summary(self, title: str) -> str:
        """Returns one line on the whole pass."""
        return (
            f"{title}: loss {self.loss.value:.3f}  acc@1 {self.top1.value:.2f} %  acc@5 {self.top5.value:.2f} %"
            f"  loading {self.loading_s.total:.1f} s  compute {self.compute_s.total:.1f} s"
        )


def accuracy(outputs: Tensor, targets: Tensor, ranks: tuple[int, ...] = (1,)) -> list[float]:
    """Returns, for each k of `ranks`, the percentage of samples whose class is among the k highest outputs.

    Args:
        outputs: Scores, ``(batch, classes)`` floating point. A k above ``classes`` counts as ``classes``.
        targets: Classes, ``(batch,)`` int64.
        ranks: The values of k.
    """
    classes = outputs.shape[1]
    best = outputs.topk(min(max(ranks), classes), dim=1).indices
    hits = best == targets[:, None]
    return [100.0 * hits[:, :k].any(dim=1).float().mean().item() for k in ranks]
