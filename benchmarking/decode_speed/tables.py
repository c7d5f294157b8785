"""The figures as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from benchmarking.bench.summary import markdown
from benchmarking.decode_speed.one_core import Cost
from benchmarking.decode_speed.turns import Run
from benchmarking.decode_speed.variants import FAST, REFERENCE, TARGET, Variant

QUIET_CPU = 0.2  # CPUs that others may use; above, rates are not worth keeping (docs/benchmarks.md)

COST_HEADER = ("pictures", "recipe", "decode us", "transform us", "collate us", "all us", "differs by", "at most")
LOADER_HEADER = (
    "loader",
    "recipe",
    "workers",
    "samples/s",
    "(min-max)",
    "to torch, disk",
    "CPU s/1000",
    "endpoint's",
    "others' CPUs",
)


def cost_table(costs: Iterable[Cost]) -> str:
    """Returns what each recipe costs on one core."""
    return markdown(
        COST_HEADER,
        [
            (
                each.pictures,
                each.recipe,
                f"{each.decode_us:.0f}",
                f"{each.transform_us:.0f}",
                f"{each.collate_us:.0f}",
                f"{each.total_us:.0f}",
                "" if each.mean_difference is None else f"{each.mean_difference:.3f}",
                "" if each.largest_difference is None else f"{each.largest_difference}",
            )
            for each in costs
        ],
    )


def loader_table(variants: Sequence[Variant], runs: Sequence[Run]) -> str:
    """Returns the medians of each loader over the rounds; a loader whose runs all failed has no figures."""
    reference = rate(REFERENCE, runs)
    return markdown(LOADER_HEADER, [_loader_row(variant, runs, reference) for variant in variants])


def rate(variant: Variant, runs: Iterable[Run]) -> float | None:
    """Returns the median of a loader's samples/s, or None where no run succeeded."""
    rates = _rates(variant, runs)
    return median(rates) if rates else None


def target_line(runs: Sequence[Run]) -> str:
    """Returns one line on the target, or "" where one of its two loaders did not run."""
    fast, reference = rate(FAST, runs), rate(REFERENCE, runs)
    if fast is None or reference is None:
        return ""
    reached = "reached" if fast / reference >= TARGET else "NOT reached"
    others = max(run.others_cpu for run in runs if run.variant in (FAST, REFERENCE))
    doubt = f" (no figure to keep: other programs took up to {others:.1f} CPUs)" if others > QUIET_CPU else ""
    return (
        f'Target: decoder="torchvision" from S3 at 100 ms at least {TARGET} times torch on local disk with Pillow: '
        f"{fast / reference:.2f}, {reached}{doubt}"
    )


def _rates(variant: Variant, runs: Iterable[Run]) -> list[float]:
    return [run.measurement.samples_per_s for run in runs if run.variant == variant and run.measurement is not None]


def _loader_row(variant: Variant, runs: Sequence[Run], reference: float | None) -> list[str]:
    rates = _rates(variant, runs)
    head = [variant.place, variant.name, f"{variant.workers}"]
    if not rates:
        return [*head, "failed", "", "", "", "", ""]
    good = [(run, run.measurement) for run in runs if run.variant == variant and run.measurement is not None]
    return [
        *head,
        f"{median(rates):.0f}",
        f"({min(rates):.0f}-{max(rates):.0f})",
        "" if reference is None else f"{median(rates) / reference:.2f}",
        f"{median(measured.cpu_s / measured.samples for _, measured in good) * 1000:.2f}",
        f"{median(run.endpoint_cpu_s / measured.samples for run, measured in good) * 1000:.2f}",
        f"{median(run.others_cpu for run, _ in good):.2f}",
    ]
