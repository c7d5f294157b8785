"""`examples/imagenet.py` as a user starts it: the demo, several processes, Ctrl-C."""

from __future__ import annotations

import math
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import imagenet
import pytest
import torch
from imagenet_script import SCRIPT, environment, last_checkpoint, run_python, tiny_run


def test_the_demo_trains_from_its_own_endpoint_and_prints_the_table(tmp_path: Path) -> None:
    result = run_python(SCRIPT, "--demo", "--dataset-limit=48", "--demo-latency-ms=5", "-j1", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""  # no warning, of a fork after the parent used obstore for instance
    assert len(re.findall(r"^epoch \d/2 validation: loss .* acc@1", result.stdout, re.MULTILINE)) == 2
    rows = [line.split("|") for line in result.stdout.splitlines() if line.startswith("|")][2:]
    places = [(row[1].split(",")[0].strip(), row[2].strip()) for row in rows]
    loaders = ("torch DataLoader", "DataLoaderParallel")
    assert places == [(loader, place) for place in ("S3, 5 ms", "local disk") for loader in loaders]
    figures = [float(row[column].removesuffix(" s ")) for row in rows for column in (3, 4)]
    assert all(math.isfinite(figure) and figure > 0 for figure in figures)
    assert last_checkpoint(tmp_path / "output" / "demo")["epoch"] == 2


def test_two_processes_under_torchrun_train_one_model(tmp_path: Path) -> None:
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}"]
    result = run_python(*torchrun, SCRIPT, *tiny_run(tmp_path), "--epochs=1", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    check_two_processes(tmp_path, result.stdout)


@pytest.mark.skipif(torch.cuda.is_available(), reason="two processes would share a device")
def test_multiprocessing_distributed_starts_a_process_for_each_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    # Two devices for the process that starts the others; those find what there really is.
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    flags = ["--multiprocessing-distributed", "--epochs=1", f"--output-base-folder={tmp_path}/output"]
    assert imagenet.main([*tiny_run(tmp_path), *flags]) == 0
    check_two_processes(tmp_path, capfd.readouterr().out)


def check_two_processes(folder: Path, shown: str) -> None:
    # 16 pictures in batches of 8, over both processes together: two steps of 4 in each.
    assert re.findall(r"^epoch 1/1 +(\d/\d)", shown, re.MULTILINE) == ["1/2", "2/2"]
    state = last_checkpoint(folder / "output")
    assert len(state["random_states"]) == 2
    assert not torch.equal(*(each["torch"] for each in state["random_states"]))  # they augment differently


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
@pytest.mark.parametrize("several", [[], ["--multiprocessing-distributed"]])
def test_ctrl_c_is_told_in_one_line_and_leaves_no_process(tmp_path: Path, several: list[str]) -> None:
    run = subprocess.Popen(
        [sys.executable, "-u", str(SCRIPT), *tiny_run(tmp_path), *several, "--epochs=10000"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert run.stdout is not None
        assert run.stdout.readline().startswith("epoch 1/10000")
        os.killpg(run.pid, signal.SIGINT)  # a terminal sends it to the whole group, workers included
        # Both pipes end only with the last process that holds them: a worker that is left would hold up this line.
        _, errors = run.communicate(timeout=60)
        assert errors.count("imagenet.py: interrupted") == 1
        assert "KeyboardInterrupt" not in errors
        assert run.returncode == 130
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
