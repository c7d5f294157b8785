"""``python -m benchmarking.decode_speed``: what each decoder costs, on one core and in the loader, in five minutes."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarking.bench.machine import describe_machine
from benchmarking.decode_speed.one_core import PICTURES, measure_pictures
from benchmarking.decode_speed.recipes import RECIPES
from benchmarking.decode_speed.tables import cost_table, loader_table, target_line
from benchmarking.decode_speed.turns import Run, take_turns
from benchmarking.decode_speed.variants import FAST, REFERENCE, VARIANTS


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the command line's options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarking.decode_speed",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which medians are printed")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a loader's run, about")
    parser.add_argument("--only", choices=["cost", "loaders", "target"], help="one table; target: its two loaders")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("there must be a round, and it must take some time")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints Markdown; returns the exit code: 1 if a run failed. A target that is missed is no failure."""
    options = parse_arguments(arguments)
    machine = describe_machine()
    print(f"{machine['processor']}, {machine['cores']} cores, load {machine['load_1min']:.1f}, {machine['system']}\n")
    if options.only in (None, "cost"):
        costs = []
        for pictures in PICTURES:
            _say(f"one core: {pictures.name}")
            costs += measure_pictures(pictures, RECIPES, options.rounds)
        print(f"{cost_table(costs)}\n")
    if options.only == "cost":
        return 0
    variants = (REFERENCE, FAST) if options.only == "target" else VARIANTS
    runs: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="decode-speed-") as folder:
        for run in take_turns(
            variants, Path(folder, "objects"), rounds=options.rounds, seconds=options.seconds, on_start=_say
        ):
            runs.append(run)
            if run.error:
                _say(f"failed: {run.error}")
    print(f"{loader_table(variants, runs)}\n\n{target_line(runs)}")
    return int(any(run.error for run in runs))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
