"""Trains an ImageNet classifier from S3 or local disk through the concurrent loader.

python imagenet.py --demo        # nothing to prepare: makes pictures, serves them over S3, trains, compares loaders
python imagenet.py --help        # every flag
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from imagenet_support.arguments import parse_arguments
from imagenet_support.demo import run_demo
from imagenet_support.distributed import launch
from imagenet_support.files import UserError, check_files
from imagenet_support.run import run

from concurrent_dataloader import ConcurrentDataLoaderError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs what the command line asks for.

    Args:
        argv: The arguments without the program's name. None: those of this process.

    Returns:
        The exit code: 0, or 2 where the user has to change something first; a message on stderr has then said what.
    """
    args = parse_arguments(argv)
    try:
        if args.demo:
            run_demo(args)
        else:
            check_files(args)
            launch(args, run)
    except (UserError, ConcurrentDataLoaderError) as error:
        print(f"imagenet.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
