"""The package's names, imported on first use, seen from a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys

import pytest

import concurrent_dataloader
import concurrent_dataloader.dataset

PACKAGES = [concurrent_dataloader, concurrent_dataloader.dataset]


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("command", [[], ["index"], ["classes"], ["check"], ["cache"]], ids=" ".join)
def test_the_help_of_each_command_does_without_torch(command):
    code = (
        "import sys; from concurrent_dataloader.command_line.main import main; "
        f"code = main([*{command}, '--help']); print('torch' in sys.modules, code)"
    )
    assert run(code).splitlines()[-1] == "False 0"


def test_importing_the_package_imports_no_torch_until_a_name_needs_it():
    code = (
        "import sys, concurrent_dataloader; before = 'torch' in sys.modules; "
        "concurrent_dataloader.DataLoader; print(before, 'torch' in sys.modules)"
    )
    assert run(code) == "False True"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_every_public_name_is_there_and_listed_and_found_without_a_call_the_second_time(package):
    for name in package.__all__:
        assert getattr(package, name) is vars(package)[name]
    assert set(package.__all__) <= set(dir(package))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_a_star_import_brings_all_names_in_a_fresh_interpreter(package):
    code = f"from {package.__name__} import *; print(sorted(set({package.__all__!r}) - set(globals())))"
    assert run(code) == "[]"


def test_the_parts_of_the_package_are_attributes_of_it_in_a_fresh_interpreter():
    code = "import concurrent_dataloader as c; print(c.dataset.s3_dataset.S3Dataset is c.S3Dataset)"
    assert run(code) == "True"


def test_an_unknown_name_is_an_attribute_error_that_names_the_package():
    with pytest.raises(AttributeError, match="module 'concurrent_dataloader' has no attribute 'DataLoder'"):
        concurrent_dataloader.DataLoder
