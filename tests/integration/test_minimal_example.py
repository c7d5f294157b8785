"""`examples/minimal.py` runs with nothing prepared."""

from __future__ import annotations

import re
from pathlib import Path

from imagenet_script import ROOT, run_python


def test_the_minimal_example_reads_everything_with_both_loaders_and_ours_faster(tmp_path: Path) -> None:
    result = run_python(ROOT / "examples" / "minimal.py", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    seconds = [float(text) for text in re.findall(r": 256 samples in ([\d.]+) s", result.stdout)]
    assert len(seconds) == 2
    assert seconds[1] < seconds[0]
