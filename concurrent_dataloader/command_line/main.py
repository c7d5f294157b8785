"""The table of commands, and what they have in common: parsing, exit codes, and errors in one line."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from concurrent_dataloader._base.errors import ConcurrentDataLoaderError, OptionError
from concurrent_dataloader.command_line.cache_command import CACHE
from concurrent_dataloader.command_line.check_command import CHECK
from concurrent_dataloader.command_line.classes_command import CLASSES
from concurrent_dataloader.command_line.command import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_WRONG_USE, Command
from concurrent_dataloader.command_line.index_command import INDEX
from concurrent_dataloader.command_line.output import PROGRAM, tell

COMMANDS: tuple[Command, ...] = (INDEX, CLASSES, CHECK, CACHE)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: The arguments after the program's name; None takes those that the process was started with.

    Returns:
        The exit code: 0 all is well, 1 something failed or was found, 2 wrong use, 130 after Ctrl-C.
    """
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as end:  # argparse has said why
        return end.code if isinstance(end.code, int) else EXIT_WRONG_USE
    try:
        with _termination_cleans_up(), _messages_of_the_library(arguments.verbose):
            code: int = arguments.run(arguments)
            sys.stdout.flush()
            return code
    except KeyboardInterrupt:
        tell("interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output, `head` perhaps, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the flush at exit would fail again
        return EXIT_FAILED
    except OptionError as error:
        tell(f"error: {error}")
        return EXIT_WRONG_USE
    except (ConcurrentDataLoaderError, OSError) as error:
        tell(f"error: {error}")
        return EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=sys.modules[f"{__package__}"].__doc__)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        own = commands.add_parser(command.name, help=command.summary, description=f"{command.summary}.")
        own.add_argument("-v", "--verbose", action="store_true", help="say more about what is done")
        command.add_arguments(own)
        own.set_defaults(run=command.run)
    return parser


@contextmanager
def _messages_of_the_library(verbose: bool) -> Iterator[None]:
    """Sends the library's log to standard error for a while: warnings, and information if asked for."""
    logger = logging.getLogger("concurrent_dataloader")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(f"{PROGRAM}: %(levelname)s: %(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextmanager
def _termination_cleans_up() -> Iterator[None]:
    """Makes SIGTERM unwind the stack, as Ctrl-C does, so that half-written files are removed."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set a handler
        yield
        return
    before = signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)
