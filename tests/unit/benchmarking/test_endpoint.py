"""The endpoint's process, as S3 clients and raw sockets see it."""

from __future__ import annotations

import asyncio
import dataclasses
import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from aiobotocore.session import get_session
from botocore.config import Config
from botocore.exceptions import ClientError

from benchmarking.endpoint import EndpointError, S3Endpoint

SMALL = bytes(range(256)) * 32
LARGE = os.urandom(3_000_000)
ODD_KEY = "odd/ü b+c%2F&d=é?#.bin"
OBJECTS = {"small.bin": SMALL, "large.bin": LARGE, "empty.bin": b"", ODD_KEY: b"odd"}
OBJECTS |= {f"train/n{label}/{number}.JPEG": SMALL for label in range(3) for number in range(4)}
CREDENTIALS = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}


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


def read(endpoint: S3Endpoint, method: str, path: str, headers: dict[str, str] | None = None, body: Any = None) -> Any:
    connection = http.client.HTTPConnection(endpoint.url.removeprefix("http://"))
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, content, dict(response.headers)


def send_raw(endpoint: S3Endpoint, path: str = "/data/small.bin") -> socket.socket:
    client = connect(endpoint)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return client


def connect(endpoint: S3Endpoint) -> socket.socket:
    host, port = endpoint.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)))


def is_cut(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_get_returns_the_body_with_the_headers_of_s3(s3: Any) -> None:
    answer = s3.get_object(Bucket="data", Key="large.bin")
    assert answer["Body"].read() == LARGE
    assert answer["ContentLength"] == len(LARGE)
    assert answer["AcceptRanges"] == "bytes"
    assert answer["ETag"].strip('"').isalnum()
    assert answer["LastModified"].year > 2000


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("bytes=0-0", SMALL[:1]),
        ("bytes=5-9", SMALL[5:10]),
        ("bytes=8000-", SMALL[8000:]),
        ("bytes=8190-99999", SMALL[8190:]),
        ("bytes=-7", SMALL[-7:]),
        ("bytes=-99999", SMALL),
    ],
)
def test_a_ranged_get_returns_that_part_as_206(s3: Any, wanted: str, expected: bytes) -> None:
    answer = s3.get_object(Bucket="data", Key="small.bin", Range=wanted)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert answer["Body"].read() == expected
    span = answer["ContentRange"].removeprefix("bytes ").removesuffix(f"/{len(SMALL)}").split("-")
    assert int(span[1]) - int(span[0]) + 1 == len(expected)


@pytest.mark.parametrize("wanted", ["bytes=9-3", "lines=0-3", "bytes=0-1,4-5", "bytes=-"])
def test_a_range_that_is_none_is_ignored(endpoint: S3Endpoint, wanted: str) -> None:
    status, content, _ = read(endpoint, "GET", "/data/small.bin", {"Range": wanted})
    assert (status, content) == (200, SMALL)


@pytest.mark.parametrize(("key", "wanted"), [("small.bin", "bytes=8192-"), ("empty.bin", "bytes=0-3")])
def test_a_range_behind_the_end_is_416(s3: Any, key: str, wanted: str) -> None:
    with pytest.raises(ClientError, match="InvalidRange"):
        s3.get_object(Bucket="data", Key=key, Range=wanted)


def test_a_large_range_is_sent_whole(endpoint: S3Endpoint) -> None:
    status, content, _ = read(endpoint, "GET", "/data/large.bin", {"Range": "bytes=1000-2500000"})
    assert (status, content) == (206, LARGE[1000:2500001])


def test_head_tells_of_object_and_bucket_without_a_body(s3: Any) -> None:
    assert s3.head_object(Bucket="data", Key="large.bin")["ContentLength"] == len(LARGE)
    assert s3.head_bucket(Bucket="data")["ResponseMetadata"]["HTTPStatusCode"] == 200
    for call in (lambda: s3.head_object(Bucket="data", Key="none"), lambda: s3.head_bucket(Bucket="none")):
        with pytest.raises(ClientError, match="404"):
            call()


def test_missing_keys_and_buckets_have_their_own_errors(s3: Any) -> None:
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket="data", Key="none")
    with pytest.raises(s3.exceptions.NoSuchBucket):
        s3.list_objects_v2(Bucket="none")


def test_keys_are_percent_decoded_once(s3: Any) -> None:
    assert s3.get_object(Bucket="data", Key=ODD_KEY)["Body"].read() == b"odd"


def test_an_empty_object_is_no_missing_one(s3: Any) -> None:
    assert s3.get_object(Bucket="data", Key="empty.bin")["Body"].read() == b""


@pytest.mark.parametrize("page_size", [1, 2, 5, 1000])
def test_pages_of_a_listing_join_to_all_keys_in_order(s3: Any, page_size: int) -> None:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="data", PaginationConfig={"PageSize": page_size})
    found = [(entry["Key"], entry["Size"]) for page in pages for entry in page["Contents"]]
    assert found == [(key, len(OBJECTS[key])) for key in sorted(OBJECTS)]


@pytest.mark.parametrize("page_size", [1, 2, 1000])
def test_a_delimiter_rolls_keys_up_to_prefixes_across_pages(s3: Any, page_size: int) -> None:
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket="data", Prefix="train/", Delimiter="/", PaginationConfig={"PageSize": page_size}
    )
    assert [p["Prefix"] for page in pages for p in page["CommonPrefixes"]] == ["train/n0/", "train/n1/", "train/n2/"]


def test_start_after_leaves_out_what_comes_before(s3: Any) -> None:
    answer = s3.list_objects_v2(Bucket="data", StartAfter="train/n2/1.JPEG")
    assert [entry["Key"] for entry in answer["Contents"]] == ["train/n2/2.JPEG", "train/n2/3.JPEG"]


def test_other_operations_are_refused_and_not_faked(s3: Any) -> None:
    for call in (lambda: s3.delete_object(Bucket="data", Key="small.bin"), lambda: s3.list_objects(Bucket="data")):
        with pytest.raises(ClientError, match="NotImplemented"):
            call()


def test_a_put_object_is_there_for_gets_and_listings(s3: Any) -> None:
    s3.put_object(Bucket="data", Key="put/a b.json", Body=b"[1]")
    s3.put_object(Bucket="data", Key="put/a b.json", Body=LARGE)
    assert s3.get_object(Bucket="data", Key="put/a b.json")["Body"].read() == LARGE
    listed = s3.list_objects_v2(Bucket="data", Prefix="put/")
    assert [(entry["Key"], entry["Size"]) for entry in listed["Contents"]] == [("put/a b.json", len(LARGE))]


def test_a_put_in_aws_chunks_with_a_trailing_checksum_is_decoded(endpoint: S3Endpoint) -> None:
    headers = {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length": "11",
        "x-amz-trailer": "x-amz-checksum-crc32",
    }
    body = b"6\r\nhello \r\n5;chunk-signature=ab\r\nworld\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n"
    assert read(endpoint, "PUT", "/data/put/plain", headers, body)[0] == 200
    assert read(endpoint, "PUT", "/data/put/chunked", headers, iter([body[:20], body[20:]]))[0] == 200  # also by HTTP
    assert read(endpoint, "GET", "/data/put/plain")[1] == b"hello world"
    assert read(endpoint, "GET", "/data/put/chunked")[1] == b"hello world"
    assert read(endpoint, "PUT", "/data/put/bad", headers, body[:-20])[0] == 400


def test_two_requests_in_one_packet_are_answered_in_turn(endpoint: S3Endpoint) -> None:
    endpoint.configure(latency_s=0.01)
    with connect(endpoint) as client, client.makefile("rb") as answers:
        client.sendall(b"GET /data/none HTTP/1.1\r\n\r\nHEAD /data/small.bin HTTP/1.1\r\nConnection: close\r\n\r\n")
        content = answers.read()
    assert content.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert b"</Error>HTTP/1.1 200 OK\r\nContent-Length: 8192\r\n" in content


def test_what_is_no_http_is_answered_with_400(endpoint: S3Endpoint) -> None:
    with connect(endpoint) as client, client.makefile("rb") as answers:
        client.sendall(b"nonsense\r\n\r\n")
        assert answers.readline() == b"HTTP/1.1 400 Bad Request\r\n"
    assert read(endpoint, "GET", "/data/%FF")[0] == 400


def test_only_the_expected_access_key_and_token_get_in(s3: Any, endpoint: S3Endpoint) -> None:
    endpoint.configure(access_key="key")
    assert s3.head_object(Bucket="data", Key="small.bin")["ContentLength"] == len(SMALL)
    endpoint.configure(session_token="new")
    with pytest.raises(ClientError, match="ExpiredToken"):
        s3.get_object(Bucket="data", Key="small.bin")
    endpoint.configure(access_key="other")
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.get_object(Bucket="data", Key="small.bin")
    assert read(endpoint, "GET", "/data/small.bin")[0] == 403


def test_delayed_requests_wait_side_by_side_and_are_given_up_with_their_connections(endpoint: S3Endpoint) -> None:
    endpoint.set_latency(3600.0)
    clients = [send_raw(endpoint) for _ in range(300)]
    while endpoint.stats().in_flight < 300:
        pass
    for client in clients:
        client.close()
    while endpoint.stats().in_flight:
        pass
    endpoint.set_latency(0.0)
    assert read(endpoint, "GET", "/data/small.bin")[1] == SMALL
    assert endpoint.stats().max_in_flight == 300


def test_requests_beyond_the_number_in_flight_are_slowed_down(endpoint: S3Endpoint) -> None:
    endpoint.configure(latency_s=3600.0, max_in_flight=3)
    clients = [send_raw(endpoint) for _ in range(3)]
    while endpoint.stats().in_flight < 3:
        pass
    endpoint.configure(latency_s=0.0)
    status, content, _ = read(endpoint, "GET", "/data/small.bin")
    assert status == 503
    assert b"<Code>SlowDown</Code>" in content
    for client in clients:
        client.close()


def test_counters_tell_requests_answers_and_bytes_and_leave_out_the_control_path(endpoint: S3Endpoint) -> None:
    for path in ("/data/small.bin", "/data/none", "/data/small.bin", "/data?list-type=2"):
        read(endpoint, "GET", path)
    stats = endpoint.stats()
    assert stats.requests == {"GET": 3, "LIST": 1}
    assert stats.statuses == {"200": 3, "404": 1}
    assert stats.body_bytes > 2 * len(SMALL)
    assert (stats.in_flight, stats.max_in_flight) == (0, 1)
    endpoint.reset_stats()
    assert endpoint.stats().requests == {}


def test_wrong_settings_are_refused_and_change_nothing(endpoint: S3Endpoint) -> None:
    for changes in ({"latency_s": -1.0}, {"latency": 1.0}, {"tail_fraction": 2.0}, {"latency_s": "fast"}):
        with pytest.raises(ValueError, match=r"latency|tail_fraction|type"):
            endpoint.configure(**changes)
        with pytest.raises(ValueError, match=r"latency|tail_fraction|type"):
            S3Endpoint({}, **changes)
    assert read(endpoint, "POST", "/_control", body='{"latency": 1}')[0] == 400
    assert read(endpoint, "POST", "/_control", body="[]")[0] == 400


def test_aiobotocore_reads_lists_and_writes(endpoint: S3Endpoint) -> None:
    async def run() -> list[str]:
        async with get_session().create_client("s3", endpoint_url=endpoint.url, **CREDENTIALS) as client:
            await client.put_object(Bucket="data", Key="async/new", Body=b"new")
            answers = await asyncio.gather(*(client.get_object(Bucket="data", Key="large.bin") for _ in range(5)))
            for answer in answers:
                async with answer["Body"] as body:
                    assert await body.read() == LARGE
            listed = await client.list_objects_v2(Bucket="data", Prefix="async/")
            return [entry["Key"] for entry in listed["Contents"]]

    assert asyncio.run(run()) == ["async/new"]


OBSTORE_CLIENT = """
import sys, obstore
from obstore.store import S3Store
store = S3Store("data", endpoint=sys.argv[1], access_key_id="key", secret_access_key="secret", region="us-east-1",
                client_options={"allow_http": True})
assert len(obstore.get(store, "large.bin").bytes()) == 3_000_000
assert obstore.get(store, sys.argv[2]).bytes() == b"odd"
assert obstore.get_range(store, "small.bin", start=5, end=9).to_bytes() == bytes([5, 6, 7, 8])
assert obstore.head(store, "small.bin")["size"] == 8192
listed = [entry["path"] for page in obstore.list(store, "train", chunk_size=5) for entry in page]
assert len(listed) == 12 and listed == sorted(listed)
assert obstore.list_with_delimiter(store, "train")["common_prefixes"] == ["train/n0", "train/n1", "train/n2"]
obstore.put(store, "obstore/new", b"new")
assert obstore.get(store, "obstore/new").bytes() == b"new"
try:
    obstore.get(store, "none")
except FileNotFoundError:
    print("done")
"""


def test_obstore_reads_lists_and_writes(endpoint: S3Endpoint) -> None:
    # In a process of its own: once obstore runs here, the forks of other tests could not use it any more.
    command = [sys.executable, "-c", OBSTORE_CLIENT, endpoint.url, ODD_KEY]
    assert subprocess.run(command, capture_output=True, text=True, timeout=60).stdout == "done\n"


def test_a_folder_is_served_under_its_relative_paths(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x y.txt").write_bytes(b"text")
    with S3Endpoint(tmp_path) as endpoint:
        assert read(endpoint, "GET", "/imagenet/a/b/x%20y.txt")[1] == b"text"
    with pytest.raises(NotADirectoryError):
        S3Endpoint(tmp_path / "none")


def test_closing_ends_the_process_and_is_idempotent() -> None:
    endpoint = S3Endpoint({"a": b"a"}, latency_s=3600.0).start()
    with pytest.raises(EndpointError, match="already"):
        endpoint.start()
    with send_raw(endpoint, "/imagenet/a") as client:
        endpoint.close()
        endpoint.close()
        assert is_cut(client)
    with pytest.raises(EndpointError, match="not running"):
        endpoint.stats()
    with pytest.raises(ConnectionRefusedError):
        connect(endpoint)
    with endpoint:
        assert read(endpoint, "HEAD", "/imagenet")[0] == 200


def test_a_port_in_use_is_an_error_and_no_hang(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(EndpointError, match="before it was ready"):
            S3Endpoint({}, port=taken.getsockname()[1]).start()
    assert "Address already in use" in capfd.readouterr().err


@pytest.mark.parametrize("also_a_forked_child", [False, True])
def test_the_endpoint_dies_with_its_parent(also_a_forked_child: bool) -> None:
    fork = "if os.fork() == 0: signal.pause()" if also_a_forked_child else ""  # it holds the pipe's other end open
    script = f"""
import os, signal
from benchmarking.endpoint import S3Endpoint
endpoint = S3Endpoint({{}}).start()
{fork}
print(os.getpid(), endpoint.url, flush=True)
signal.pause()
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert parent.stdout is not None
    pid, url = parent.stdout.readline().split()
    host, port = url.removeprefix("http://").split(":")
    with parent, socket.create_connection((host, int(port))) as client:
        os.kill(int(pid), signal.SIGKILL)
        assert is_cut(client)
    if also_a_forked_child:
        os.killpg(parent.pid, signal.SIGKILL)


def test_the_command_line_serves_a_folder_until_it_is_interrupted(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    command = [sys.executable, "-m", "benchmarking.endpoint", "--folder", str(tmp_path), "--bucket", "b"]
    with subprocess.Popen([*command, "--latency-ms", "1"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert '"bucket": "b"' in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
