"""A running endpoint and a client of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from endpoint_client import CREDENTIALS, OBJECTS

from benchmarking.endpoint import S3Endpoint


@pytest.fixture(scope="module")
def running() -> Iterator[S3Endpoint]:
    with S3Endpoint(OBJECTS, bucket="data") as endpoint:
        yield endpoint


@pytest.fixture
def endpoint(running: S3Endpoint) -> Iterator[S3Endpoint]:
    running.reset_stats()
    yield running
    defaults = dataclasses.asdict(type(running._settings)())
    running.configure(**defaults)


@pytest.fixture
def s3(endpoint: S3Endpoint) -> Iterator[Any]:
    client = boto3.client(
        "s3", endpoint_url=endpoint.url, config=Config(retries={"total_max_attempts": 1}), **CREDENTIALS
    )
    yield client
    client.close()
