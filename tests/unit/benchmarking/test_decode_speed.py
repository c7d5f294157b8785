"""The script that measures decoders: what it counts, and how it says it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

import pytest
import torch

from benchmarking.bench.datasets import AWS_ENVIRONMENT
from benchmarking.bench.measure import Measurement
from benchmarking.bench.workloads import BUCKET, KINDS, Workload, index_file
from benchmarking.decode_speed.__main__ import main
from benchmarking.decode_speed.child import run_order
from benchmarking.decode_speed.one_core import Cost, Pictures, measure_pictures
from benchmarking.decode_speed.recipes import PIL, PIL_FLOAT, RECIPES, REDUCED, TORCHVISION, Sides, make_recipes
from benchmarking.decode_speed.tables import cost_table, loader_table, target_line
from benchmarking.decode_speed.turns import Run, sample_count
from benchmarking.decode_speed.variants import FAST, REFERENCE, VARIANTS, Variant
from benchmarking.endpoint import S3Endpoint

SMALL = Pictures(80, 64, 3, Sides(resize=16, crop=14))
SMALL_BODIES = SMALL.draw()
FAILED = Run(REFERENCE, 0, None, "exit code 1", 0.0, 0.0)


def run(variant: Variant, samples_per_s: float, others_cpu: float = 0.2) -> Run:
    figures = {field.name: 1.0 for field in dataclasses.fields(Measurement)}
    measurement = Measurement(**figures | {"samples": 2000, "samples_per_s": samples_per_s, "cpu_s": 6.0})
    return Run(variant, 0, measurement, "", 1.0, others_cpu)


def cells(table: str) -> list[dict[str, str]]:
    header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines())
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_every_recipe_gives_pictures_of_the_same_size_and_only_one_gives_floats() -> None:
    costs = {cost.recipe: cost for cost in measure_pictures(SMALL, RECIPES, rounds=1)}
    assert list(costs) == list(RECIPES) == list(make_recipes(Sides()))
    assert all(min(cost.decode_us, cost.transform_us, cost.collate_us) > 0 for cost in costs.values())
    assert [name for name, cost in costs.items() if cost.mean_difference is None] == [PIL_FLOAT]


def test_the_difference_is_that_from_pillows_whole_image() -> None:
    costs = {cost.recipe: cost for cost in measure_pictures(SMALL, RECIPES, rounds=1)}
    assert (costs[PIL].mean_difference, costs[PIL].largest_difference) == (0.0, 0)
    torchvisions, reduced = costs[TORCHVISION].mean_difference, costs[REDUCED].mean_difference
    assert torchvisions is not None
    assert reduced is not None
    assert torchvisions < reduced


def test_measuring_leaves_torchs_threads_as_they_were() -> None:
    threads = torch.get_num_threads()
    measure_pictures(SMALL, [PIL], rounds=1)
    assert torch.get_num_threads() == threads


def test_a_row_of_costs_adds_the_steps_up() -> None:
    (row,) = cells(cost_table([Cost("500 x 375 to 224", PIL, 1000.0, 900.4, 50.0, 0.0, 0)]))
    assert row == {
        "pictures": "500 x 375 to 224",
        "recipe": "pil",
        "decode us": "1000",
        "transform us": "900",
        "collate us": "50",
        "all us": "1950",
        "differs by": "0.000",
        "at most": "0",
    }


def test_a_row_of_a_loader_has_medians_and_what_failed_says_so() -> None:
    runs = [run(FAST, 300.0), run(FAST, 900.0), run(FAST, 450.0), FAILED, run(VARIANTS[1], 300.0)]
    first, second = cells(loader_table([FAST, REFERENCE], runs))
    assert (first["samples/s"], first["(min-max)"]) == ("450", "(300-900)")
    assert (first["CPU s/1000"], first["endpoint's"], first["others' CPUs"]) == ("3.00", "0.50", "0.20")
    assert first["to torch, disk"] == ""
    assert second["samples/s"] == "failed"
    (alone,) = cells(loader_table([FAST], [run(FAST, 300.0), run(REFERENCE, 200.0)]))
    assert alone["to torch, disk"] == "1.50"


@pytest.mark.parametrize(("fast", "verdict"), [(300.0, "1.50, reached"), (298.0, "1.49, NOT reached")])
def test_the_target_is_a_ratio_of_two_loaders(fast: float, verdict: str) -> None:
    assert target_line([run(FAST, fast), run(REFERENCE, 200.0)]).endswith(f": {verdict}")
    assert target_line([run(FAST, fast), FAILED]) == ""


def test_a_target_measured_on_a_busy_machine_is_doubted() -> None:
    assert target_line([run(FAST, 300.0), run(REFERENCE, 200.0, others_cpu=1.26)]).endswith("up to 1.3 CPUs)")


def test_a_run_is_whole_waves_and_two_at_least() -> None:
    for variant in VARIANTS:
        assert sample_count(variant, 0.001) == 2 * 64 * variant.wave
        assert sample_count(variant, 5.0) % (64 * variant.wave) == 0


def test_names_tell_the_variants_apart() -> None:
    assert len({(each.place, each.name, each.workers) for each in VARIANTS}) == len(VARIANTS)


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workload]:
    folder = tmp_path_factory.mktemp("decode-speed") / "objects"
    keys = KINDS["jpeg"].keys()
    (folder / keys[0]).parent.mkdir(parents=True)
    for at, key in enumerate(keys):
        (folder / key).write_bytes(SMALL_BODIES[at % len(SMALL_BODIES)])
    index_file(folder, "jpeg").write_text(json.dumps(keys))
    with S3Endpoint(folder, bucket=BUCKET) as endpoint:
        yield Workload("jpeg", 0.0, 2, 0, 0, str(folder), endpoint.url)


@pytest.mark.parametrize(
    "variant", sorted({dataclasses.replace(variant, workers=0) for variant in VARIANTS}, key=repr), ids=repr
)
def test_a_loader_reads_all_its_samples(variant: Variant, workload: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in AWS_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    samples = 2 * variant.wave * workload.batch_size
    template = dataclasses.replace(workload, samples=samples)
    order = {"variant": dataclasses.asdict(variant), "workload": dataclasses.asdict(template), "max_s": 60.0}
    assert run_order(order).samples == samples
    batch = next(iter(variant.build(template)))
    assert batch.shape == (2, 3, 224, 224)
    assert batch.dtype == (torch.float32 if variant.normalizes or variant.recipe == PIL_FLOAT else torch.uint8)


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["--seconds", "0"], ["--only", "this"]])
def test_options_that_make_no_measurement_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
