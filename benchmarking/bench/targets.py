"""The targets of issue 2, and whether the medians of a run reach them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarking.bench.loaders.registry import CLIENT_ALONE, OURS, OURS_DISK, TORCH_BOTO3, TORCH_DISK
from benchmarking.bench.summary import Medians, markdown

SMALL, IMAGES = "8kb", "jpeg"


@dataclass(frozen=True)
class Target:
    """One target.

    Attributes:
        name: What is compared.
        least: The smallest ratio that reaches it.
        ratio: The ratio of the medians.
    """

    name: str
    least: float
    ratio: float

    @property
    def is_reached(self) -> bool:
        """Whether the ratio is large enough."""
        return self.ratio >= self.least


def check_targets(medians: Iterable[Medians], *, latency_s: float, in_flight: int) -> list[Target]:
    """Returns the targets for which all loaders ran.

    Args:
        medians: Of a run.
        latency_s: The added latency of the workloads that count, in seconds; above zero.
        in_flight: Bodies that our loader has in flight at once, over all its processes.
    """
    rates = {(each.workload, each.loader): each.samples_per_s for each in medians}
    suffix = f"@{latency_s * 1000:.0f}ms"
    small, images = SMALL + suffix, IMAGES + suffix
    targets = []

    def add(name: str, least: float, workload: str, loader: str, reference: float | None) -> None:
        rate = rates.get((workload, loader))
        if rate is not None and reference is not None:
            targets.append(Target(f"{workload} {loader} / {name}", least, rate / reference))

    client = rates.get((small, CLIENT_ALONE))
    limit = in_flight / latency_s
    if client is not None and client < limit:
        add(f"{CLIENT_ALONE}, what the CPU allows", 0.85, small, OURS, client)
    else:
        add(f"in flight/latency = {limit:.0f}", 0.85, small, OURS, limit)
    add(TORCH_BOTO3, 40.0, small, OURS, rates.get((small, TORCH_BOTO3)))
    add(TORCH_DISK, 0.9, images, OURS, rates.get((images, TORCH_DISK)))
    for workload in (small, images):
        add(TORCH_DISK, 0.97, workload, OURS_DISK, rates.get((workload, TORCH_DISK)))
    return targets


def targets_table(targets: Iterable[Target]) -> str:
    """Returns the targets as a Markdown table."""
    rows = [
        (each.name, "yes" if each.is_reached else "NO", f"{each.least:.2f}", f"{each.ratio:.2f}") for each in targets
    ]
    return markdown(("ratio", "reached", "target", "measured"), rows)
