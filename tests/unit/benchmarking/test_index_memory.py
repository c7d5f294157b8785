from __future__ import annotations

import json
import mmap
from pathlib import Path

import pytest

from benchmarking.index_memory import memory
from benchmarking.index_memory.__main__ import main, write_keys
from benchmarking.index_memory.child import Figures, measure
from benchmarking.index_memory.table import Row, table

MEGABYTE = 1_000_000


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return write_keys(tmp_path / "index.json", 2000)


def test_private_memory_and_its_peak_follow_what_the_process_writes_to() -> None:
    before = memory.private_mb()
    memory.forget_peak()
    resident, _ = memory.resident_mb()
    with mmap.mmap(-1, 50 * MEGABYTE, flags=mmap.MAP_PRIVATE) as block:
        block.write(b"\1" * len(block))
        assert 45 < memory.private_mb() - before < 60
        assert memory.peak_mb() - resident > 45
    memory.forget_peak()
    assert memory.peak_mb() - resident < 45


def test_the_keys_are_as_long_as_imagenets_and_all_different(index: Path) -> None:
    keys = json.loads(index.read_text())
    assert len(keys) == len(set(keys)) == 2000
    assert {len(key) for key in keys} == {len("scratch/imagenet/train/n01440764/n01440764_10026.JPEG")}


@pytest.mark.parametrize("subject", ["ours", "torch"])
def test_a_run_has_every_figure(index: Path, subject: str) -> None:
    figures = measure({"subject": subject, "index": str(index), "method": "fork", "workers": 2})
    assert figures.peak_mb >= figures.after_mb > figures.after_file_mb > 0
    assert figures.pickle_bytes > (100_000 if subject == "torch" else 100)
    assert min(figures.load_s, figures.pickle_ms, figures.read_ns) > 0
    assert figures.start_s is not None
    assert figures.start_s > 0
    assert figures.worker_mb is not None
    assert figures.worker_mb > 0


def test_a_run_without_workers_says_nothing_of_them(index: Path) -> None:
    figures = measure({"subject": "ours", "index": str(index), "method": None, "workers": 2})
    assert figures.start_s is figures.worker_mb is None


def test_a_row_shows_what_the_keys_add_to_a_worker() -> None:
    few = Figures(500, 0.1, 501, 501, 200, 600, 0.1, 500, 0.2, 40.0)
    many = Figures(500, 1.25, 700, 600, 250, 700, 0.1, 500, 0.3, 52.5)
    text = table([Row("ours", "fork", 1_000_000, many, many, few)])
    heading, rule, row = (line.strip("| ").split(" | ") for line in text.splitlines())
    assert len(heading) == len(rule) == len(row)
    cells = dict(zip(heading, row, strict=True))
    assert cells["keys"] == "1,000,000"
    assert cells["private MB added per worker"] == "12.5"
    assert cells["MB after the next (file pages)"] == "600 (250)"
    assert cells["first start s"] == "1.25"


@pytest.mark.parametrize("arguments", [["--workers", "1"], ["--keys", "0"]])
def test_options_that_make_no_measurement_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
