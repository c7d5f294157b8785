"""The commands that read objects, as a user starts them, against the endpoint."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from benchmarking.endpoint import S3Endpoint
from concurrent_dataloader import S3Dataset
from concurrent_dataloader.storage.cache import cache_stats

BUCKET = "images"
SECRET = "do-not-show-this-secret"


def picture(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (number, 0, 0)).save(file, "PNG")
    return file.getvalue()


OBJECTS = {f"train/{name}/{name}_{number}.png": picture(number) for name in ("cat", "dog") for number in range(10)}


@pytest.fixture
def endpoint() -> Iterator[S3Endpoint]:
    with S3Endpoint(OBJECTS, bucket=BUCKET) as running:
        yield running


@pytest.fixture
def command(tmp_path: Path, endpoint: S3Endpoint):
    (tmp_path / "index.json").write_text(json.dumps(list(OBJECTS)))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment |= {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": endpoint.url,
            "AWS_CONFIG_FILE": str(tmp_path / "none"),
            "XDG_CACHE_HOME": str(tmp_path / "user-cache"),
            "PYTHONPATH": os.pathsep.join(
                filter(None, [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH")])
            ),
        }
        done = subprocess.run(
            [sys.executable, "-m", "concurrent_dataloader", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert SECRET not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


def test_classes_and_check_agree_on_a_bucket(command) -> None:
    assert command("classes", "index.json", "-o", "classes.json").returncode == 0
    done = command("check", "index.json", f"s3://{BUCKET}/train", "--classes", "classes.json", "--json")
    assert done.returncode == 0
    report = json.loads(done.stdout)
    assert (report["ok"], report["keys"], report["class_entries"], report["sampled"]) == (True, 20, 2, 20)


def test_check_tells_missing_objects_from_a_bucket_that_is_not_there(command, tmp_path: Path) -> None:
    (tmp_path / "more.json").write_text(json.dumps([*OBJECTS, "train/cat/cat_99.png"]))
    done = command("check", "more.json", f"s3://{BUCKET}", "--json")
    assert done.returncode == 1
    assert [(each["kind"], each["count"]) for each in json.loads(done.stdout)["findings"]] == [("not-found", 1)]
    done = command("check", "index.json", "s3://another-bucket", "--json")
    assert done.returncode == 1
    assert [each["count"] for each in json.loads(done.stdout)["findings"]] == [20]


def test_what_was_warmed_is_what_the_dataset_finds_in_its_cache(
    command, endpoint: S3Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = command("cache", "warm", "index.json", f"s3://{BUCKET}")
    assert (done.returncode, "20 of 20 keys" in done.stdout) == (0, True)
    folder = tmp_path / "user-cache" / "concurrent_dataloader" / "objects"
    assert cache_stats(folder).entries == 20
    endpoint.reset_stats()
    done = command("cache", "warm", "index.json", f"s3://{BUCKET}", "--endpoint-url", endpoint.url)
    assert "20 were there before, 0 objects" in done.stdout
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint.url)
    dataset = S3Dataset(
        tmp_path / "index.json", bucket_name=BUCKET, use_cache=True, cache_dir=folder, decoder=lambda body: body
    )
    assert [dataset[number] for number in range(20)] == list(OBJECTS.values())
    assert endpoint.stats().requests.get("GET", 0) == 0
