"""The command line's frame: exit codes, errors in one line, and what becomes of Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from concurrent_dataloader._base.errors import ObjectNotFound, OptionError
from concurrent_dataloader.command_line import main as main_module
from concurrent_dataloader.command_line.command import Command
from concurrent_dataloader.command_line.main import COMMANDS, main
from concurrent_dataloader.command_line.output import PROGRAM, say

Run = Callable[[argparse.Namespace], int]


@pytest.fixture
def run_as(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], int]:
    """Runs a command that does what a test says."""

    def run(action: Run, *flags: str) -> int:
        command = Command("try", "tries", lambda parser: None, action)
        monkeypatch.setattr(main_module, "COMMANDS", (command,))
        return main(["try", *flags])

    return run


def raising(error: BaseException) -> Run:
    def run(_: argparse.Namespace) -> int:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ObjectNotFound("s3://bucket/key:\n  404"), 1, "concurrent-dataloader: error: s3://bucket/key: 404\n"),
        (OptionError("limit: expected"), 2, "concurrent-dataloader: error: limit: expected\n"),
        (
            OSError(28, "No space left on device"),
            1,
            "concurrent-dataloader: error: [Errno 28] No space left on device\n",
        ),
        (KeyboardInterrupt(), 130, "concurrent-dataloader: interrupted\n"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    run_as: Callable[..., int], capsys: pytest.CaptureFixture[str], error: BaseException, code: int, message: str
) -> None:
    assert run_as(raising(error)) == code
    assert capsys.readouterr() == ("", message)


def test_a_fault_of_our_own_keeps_its_traceback(run_as: Callable[..., int]) -> None:
    with pytest.raises(ZeroDivisionError):
        run_as(raising(ZeroDivisionError()))


def test_results_go_to_standard_output_and_the_commands_code_is_the_exit_code(
    run_as: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: argparse.Namespace) -> int:
        say("a result")
        return 1

    assert run_as(run) == 1
    assert capsys.readouterr() == ("a result\n", "")


def test_the_librarys_messages_go_to_standard_error_and_information_only_if_asked_for(
    run_as: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: argparse.Namespace) -> int:
        logger = logging.getLogger("concurrent_dataloader.some.module")
        logger.info("some information")
        logger.warning("a warning")
        return 0

    run_as(run)
    assert capsys.readouterr().err == "concurrent-dataloader: WARNING: a warning\n"
    run_as(run, "--verbose")
    assert "INFO: some information" in capsys.readouterr().err
    assert not logging.getLogger("concurrent_dataloader").handlers


def test_sigterm_unwinds_the_stack_so_that_files_are_tidied_up(run_as: Callable[..., int]) -> None:
    unwound = []

    def run(_: argparse.Namespace) -> int:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            unwound.append(True)
        return 0

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as end:
        run_as(run)
    assert end.value.code == 143
    assert unwound
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("argv", [[], ["no-such-command"], ["index"], ["index", "--no-such-option"]])
def test_wrong_use_is_exit_code_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert "usage: concurrent-dataloader" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--help"], *([command.name, "--help"] for command in COMMANDS)])
def test_help_is_there_for_each_command(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 0
    assert "usage: concurrent-dataloader" in capsys.readouterr().out


def test_the_package_runs_as_a_program_and_a_reader_that_has_had_enough_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_text("x")
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "concurrent_dataloader", "index", str(tmp_path), "-o", str(tmp_path / "i.json")]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
    assert (tmp_path / "i.json").exists()


def test_the_console_script_of_the_package_is_this_program() -> None:
    setup = (Path(__file__).resolve().parents[3] / "setup.py").read_text()
    assert f'"{PROGRAM} = {main.__module__}:{main.__name__}"' in setup
