"""``python -m concurrent_dataloader``: the command line."""

import sys

from concurrent_dataloader.command_line.main import main

if __name__ == "__main__":
    sys.exit(main())
