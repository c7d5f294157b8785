"""What design.md and style.md fix about the tree, read off the sources."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "concurrent_dataloader"
MAX_FILE_LINES = 300
MAX_BODY_LINES = 60

# What each part may import besides itself; everything outside the project is free.
MAY_IMPORT = {
    "concurrent_dataloader._base": set(),
    "concurrent_dataloader.storage": {"concurrent_dataloader._base"},
    "concurrent_dataloader.dataset": {"concurrent_dataloader._base", "concurrent_dataloader.storage"},
    "concurrent_dataloader.dataloader_mod": {"concurrent_dataloader._base"},
    "concurrent_dataloader.command_line": {
        "concurrent_dataloader._base",
        "concurrent_dataloader.storage",
        "concurrent_dataloader.dataset",
    },
}
PROJECT = ("concurrent_dataloader", "benchmarking", "examples", "imagenet_support", "tests")


def sources(*folders):
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def ids(path):
    return str(path.relative_to(ROOT))


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{ids(path)}:{node.lineno}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def belongs_to(module, package):
    return module == package or module.startswith(package + ".")


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_inside_the_library_go_one_way(package):
    allowed = {package, *MAY_IMPORT[package]}
    for path in sources(package.replace(".", "/")):
        for module in imported_modules(path):
            inside = any(belongs_to(module, name) for name in PROJECT)
            assert not inside or any(belongs_to(module, name) for name in allowed), f"{ids(path)} imports {module}"


def test_the_library_imports_neither_benchmarks_nor_examples_and_benchmarks_no_examples():
    for folder, forbidden in (("concurrent_dataloader", PROJECT[1:]), ("benchmarking", PROJECT[2:])):
        for path in sources(folder):
            for module in imported_modules(path):
                assert not any(belongs_to(module, name) for name in forbidden), f"{ids(path)} imports {module}"


def test_modules_import_each_other_without_circles():
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sources("concurrent_dataloader")
    }
    needs = {name: (_prefixes(imported_modules(path)) & modules.keys()) - {name} for name, path in modules.items()}
    while needs:
        free = {name for name, others in needs.items() if not others & needs.keys()}
        assert free, f"a circle of imports among {sorted(needs)}"
        needs = {name: others for name, others in needs.items() if name not in free}


def _prefixes(names):
    return {name.rsplit(".", cut)[0] for name in names for cut in (0, 1)}


@pytest.mark.parametrize("path", sources("concurrent_dataloader", "benchmarking", "examples", "tests"), ids=ids)
def test_no_file_and_no_function_has_outgrown_the_house_style(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.end_lineno - node.body[0].lineno + 1
            assert body <= MAX_BODY_LINES, f"{node.name} has {body} lines"


def test_torchs_private_names_are_in_two_files():
    private = re.compile(r"\btorch(\.\w+)*\._\w+|\b_utils\b|\b_MultiProcessing\w+|\b_SingleProcess\w+|\b_DatasetKind\b")
    for path in sources("concurrent_dataloader", "benchmarking", "examples"):
        code = _without_strings_and_comments(path)
        if path.name not in ("torch_private.py", "torch_iterators.py"):
            assert not private.search(code), f"{ids(path)}: {private.search(code)}"
    assert private.search(_without_strings_and_comments(LIBRARY / "_base" / "torch_private.py"))


def _without_strings_and_comments(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.unparse(tree)


def test_the_library_never_prints_and_never_unpickles():
    forbidden = re.compile(r"\bprint\(|\bpickle\.loads?\(|\bUnpickler\b|\beval\(|\bexec\(")
    for path in sources("concurrent_dataloader"):
        found = forbidden.search(_without_strings_and_comments(path))
        assert not found, f"{ids(path)}: {found}"


def test_the_tested_set_is_the_same_in_environment_yaml_and_requirements_dev():
    pins = re.compile(r"^(?:\s*- )?([A-Za-z0-9_\[\],-]+==\S+)$", re.MULTILINE)
    one, other = (pins.findall((ROOT / name).read_text()) for name in ("requirements-dev.txt", "environment.yaml"))
    assert one == other
    assert len(one) > 10
