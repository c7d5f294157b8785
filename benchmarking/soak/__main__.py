"""``python -m benchmarking.soak --minutes 10``: prints what was counted; exit code 1 if anything went wrong."""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections.abc import Sequence

from benchmarking.soak.runner import soak

_PROCESS_ENVIRONMENT = {"AWS_EC2_METADATA_DISABLED": "true", "OMP_NUM_THREADS": "1"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a soak, prints its table, and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarking.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default: 10)")
    parser.add_argument("--seed", type=int, help="of all draws; drawn and shown if it is not given")
    options = parser.parse_args(arguments)
    if not options.minutes > 0:
        parser.error(f"--minutes: expected a positive number, got {options.minutes}")
    seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
    print(f"soak of {options.minutes:g} minutes, seed {seed}", flush=True)
    os.environ.update(_PROCESS_ENVIRONMENT)
    tally, endpoint = soak(options.minutes, seed)
    print(tally.report(endpoint.faults, endpoint.statuses))
    return 0 if tally.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
