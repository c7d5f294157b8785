"""What the tests of the endpoint serve, and how they speak to it below the level of an S3 client."""

from __future__ import annotations

import http.client
import os
import socket
from typing import Any

from benchmarking.endpoint import S3Endpoint

SMALL = bytes(range(256)) * 32
LARGE = os.urandom(3_000_000)
ODD_KEY = "odd/ü b+c%2F&d=é?#.bin"
OBJECTS = {"small.bin": SMALL, "large.bin": LARGE, "empty.bin": b"", ODD_KEY: b"odd"}
OBJECTS |= {f"train/n{label}/{number}.JPEG": SMALL for label in range(3) for number in range(4)}
CREDENTIALS = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}


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
