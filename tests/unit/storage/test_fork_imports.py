"""What the main process imports for the workers that it will fork."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import multiprocessing, sys
if {method!r}:
    multiprocessing.set_start_method({method!r})
from concurrent_dataloader.storage import S3Options, S3Store
S3Store(S3Options("bucket"))
method = multiprocessing.get_start_method(allow_none=True)
print("botocore.session" in sys.modules, "obstore" in sys.modules, method)
"""


def run(method):
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(method=method)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="fork is the default on Linux")
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="fork is the default up to Python 3.13")
def test_what_each_forked_worker_needs_is_imported_once_obstore_apart_and_no_start_method_is_settled_on():
    assert run("") == "True False None"


def test_where_workers_are_forked_by_choice_it_is_imported():
    assert run("fork") == "True False fork"


def test_where_workers_are_spawned_nothing_is_imported_before_it_is_needed():
    assert run("spawn") == "False False spawn"
