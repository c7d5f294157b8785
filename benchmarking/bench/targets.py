"""The targets of issues 2 and 4, and whether the medians of a run reach them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from benchmarking.bench.loaders import registry
from benchmarking.bench.loaders.registry import (
    CLIENT_ALONE,
    LITDATA,
    OURS,
    OURS_ASYNCIO,
    OURS_DEFAULT,
    OURS_DISK,
    SPDL,
    TORCH_BOTO3,
    TORCH_DISK,
)
from benchmarking.bench.summary import Medians, markdown

SMALL, IMAGES = "8kb", "jpeg"
SMALL_AT_ONCE, SMALL_AT_30, SMALL_WITH_TAIL = f"{SMALL}@0ms", f"{SMALL}@30ms", f"{SMALL}@30ms+tail1%"
AT_30_S = 0.03
THROTTLED = f"{SMALL}@30ms+throttle"  # the rate follows
MOST_REQUESTS_PER_SAMPLE = 1.2  # against a throttle, issue 4
PEERS = frozenset(
    {
        *(registry.TORCH_BOTO3, registry.TORCH_BOTO3_16),
        *(registry.TORCH_OBSTORE, registry.TORCH_OBSTORE_8, registry.TORCH_OBSTORE_16),
        *(registry.S3_CONNECTOR, registry.LITDATA, registry.SPDL, registry.SPDL_ORDERED),
        *(registry.TORCHDATA_NODES, registry.THREADPOOL),
    }
)
"""All that read small objects from S3 without us."""

Rates = dict[tuple[str, str], float]


@dataclass(frozen=True)
class Target:
    """One target.

    Attributes:
        issue: Number of the issue that sets it.
        name: What is compared.
        least: The smallest ratio that reaches it.
        ratio: The ratio of the medians.
    """

    issue: int
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
        latency_s: The added latency of the workloads that count, in seconds; 0: none, and only the targets remain that
            name their own.
        in_flight: Bodies that our loader has in flight at once, over all its processes.
    """
    medians = list(medians)
    rates = {(each.workload, each.loader): each.samples_per_s for each in medians}
    at_latency = list(_at_latency(rates, latency_s, in_flight)) if latency_s else []
    if latency_s != AT_30_S:
        at_latency = [*at_latency, *_ratio(rates, 4, 0.85, (SMALL_AT_30, OURS_ASYNCIO), (SMALL_AT_30, OURS))]
    return [*at_latency, *_in_trouble(rates), *_against_the_fastest_peer(rates), *_throttled(medians)]


def _at_latency(rates: Rates, latency_s: float, in_flight: int) -> Iterator[Target]:
    suffix = f"@{latency_s * 1000:.0f}ms"
    small, images = SMALL + suffix, IMAGES + suffix
    client, limit = rates.get((small, CLIENT_ALONE)), in_flight / latency_s
    name = f"in flight/latency = {limit:.0f}"
    if client is not None and client < limit:
        limit, name = client, f"{CLIENT_ALONE}, what the CPU allows"
    ours = rates.get((small, OURS))
    if ours is not None:
        name = f"{small} {OURS} / {name}"
        yield from (Target(issue, name, least, ours / limit) for issue, least in ((2, 0.85), (4, 0.95)))
    goals = (
        (2, 40.0, small, OURS, TORCH_BOTO3),
        (4, 50.0, small, OURS, TORCH_BOTO3),
        (4, 2.3, small, OURS, LITDATA),
        (2, 0.9, images, OURS, TORCH_DISK),
        (4, 1.0, images, OURS, TORCH_DISK),
        (2, 0.97, small, OURS_DISK, TORCH_DISK),
        (2, 0.97, images, OURS_DISK, TORCH_DISK),
        (4, 1.0, small, OURS_DISK, TORCH_DISK),
        (4, 1.0, images, OURS_DISK, TORCH_DISK),
        (4, 0.85, small, OURS_ASYNCIO, OURS),
    )
    for issue, least, workload, loader, reference in goals:
        yield from _ratio(rates, issue, least, (workload, loader), (workload, reference))


def _in_trouble(rates: Rates) -> Iterator[Target]:
    ours = SMALL_WITH_TAIL, OURS
    yield from _ratio(rates, 4, 0.8, ours, (SMALL_AT_30, OURS))
    yield from _ratio(rates, 4, 2.3, ours, (SMALL_WITH_TAIL, SPDL))
    yield from _ratio(rates, 4, 9.0, ours, (SMALL_WITH_TAIL, LITDATA))


def _against_the_fastest_peer(rates: Rates) -> Iterator[Target]:
    found = {loader for workload, loader in rates if workload == SMALL_AT_ONCE}
    if found >= PEERS:
        fastest = max(PEERS, key=lambda peer: rates[SMALL_AT_ONCE, peer])
        for ours in (OURS, OURS_DEFAULT):
            yield from _ratio(rates, 4, 1.2, (SMALL_AT_ONCE, ours), (SMALL_AT_ONCE, fastest))


def _throttled(medians: Iterable[Medians]) -> Iterator[Target]:
    for each in medians:
        if each.loader == OURS and each.workload.startswith(THROTTLED):
            allowed = float(each.workload.removeprefix(THROTTLED))
            name = f"{each.workload} {OURS} / allowed rate"
            yield Target(4, name, 0.85, each.samples_per_s / allowed)
            if each.requests_per_sample:
                name = f"{each.workload} {OURS}: requests needed / sent"
                yield Target(4, name, 1 / MOST_REQUESTS_PER_SAMPLE, 1 / each.requests_per_sample)


def _ratio(
    rates: Rates, issue: int, least: float, loader: tuple[str, str], reference: tuple[str, str]
) -> Iterator[Target]:
    """Yields the target where both ran; each is a workload and a loader."""
    if loader in rates and reference in rates:
        other = reference[1] if reference[0] == loader[0] else " ".join(reference)
        yield Target(issue, f"{' '.join(loader)} / {other}", least, rates[loader] / rates[reference])


def targets_table(targets: Iterable[Target]) -> str:
    """Returns the targets as a Markdown table."""
    rows = [
        (each.name, "yes" if each.is_reached else "NO", str(each.issue), f"{each.least:.2f}", f"{each.ratio:.2f}")
        for each in targets
    ]
    return markdown(("ratio", "reached", "issue", "target", "measured"), rows)
