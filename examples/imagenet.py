"""Trains an ImageNet classifier from S3 or local disk through the concurrent loader.

python imagenet.py --demo        # nothing to prepare: makes pictures, serves them over S3, trains, compares loaders
python imagenet.py --help        # every flag
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence

from imagenet_support.arguments import parse_arguments
from imagenet_support.demo import run_demo
from imagenet_support.distributed import launch, run_and_report
from imagenet_support.files import check_files
from imagenet_support.run import run

INTERRUPTED = 130  # what a shell makes of a program that Ctrl-C ended


def main(argv: Sequence[str] | None = None) -> int:
    """Runs what the command line asks for.

    Args:
        argv: The arguments without the program's name. None: those of this process.

    Returns:
        The exit code: 0; 2 where the user has to change something first; 130 after Ctrl-C. Where it is not 0, a message
        on stderr has said why.
    """
    args = parse_arguments(argv)
    try:
        return run_and_report(lambda: _demo_or_run(args))
    except KeyboardInterrupt:
        print("imagenet.py: interrupted", file=sys.stderr)
        return INTERRUPTED


def _demo_or_run(args: Namespace) -> None:
    if args.demo:
        run_demo(args)
    else:
        check_files(args)
        launch(args, run)


if __name__ == "__main__":
    sys.exit(main())
