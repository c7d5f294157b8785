"""The endpoint's process and its connections, down to raw sockets."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.session import get_session
from botocore.exceptions import ClientError
from endpoint_client import CREDENTIALS, LARGE, ODD_KEY, SMALL, connect, is_cut, read, send_raw

from benchmarking.endpoint import EndpointError, S3Endpoint


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
