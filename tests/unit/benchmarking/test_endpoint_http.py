"""The endpoint's reader of HTTP and its listing, without a server."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarking.endpoint.http import ChunkedBody, HttpRequest, MalformedRequestError, RequestReader
from benchmarking.endpoint.objects import Bucket, StoredObject, objects_from_bodies

GET = b"GET /b/key%20x?a=1 HTTP/1.1\r\nHost: h\r\nAuthorization:  AWS4 Credential=K/x\r\n\r\n"
PUT = b"PUT /b/k HTTP/1.1\r\ncontent-length: 4\r\n\r\nbody"
CHUNKED = b"PUT /b/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nt: 1\r\n\r\n"


def read_in_pieces(wire: bytes, cuts: list[int]) -> list[HttpRequest]:
    reader, requests = RequestReader(), []
    edges = [0, *sorted(cut % len(wire) for cut in cuts), len(wire)]
    for start, end in itertools.pairwise(edges):
        reader.feed(wire[start:end])
        while (request := reader.next_request()) is not None:
            requests.append(request)
    assert not reader.pending
    return requests


@given(st.lists(st.integers(min_value=0), max_size=8))
def test_requests_are_the_same_however_the_bytes_are_cut(cuts: list[int]) -> None:
    requests = read_in_pieces(GET + PUT + CHUNKED + GET, cuts)
    assert [(request.method, request.body) for request in requests] == [
        ("GET", b""),
        ("PUT", b"body"),
        ("PUT", b"abcde"),
        ("GET", b""),
    ]


def test_headers_are_found_whatever_their_case_and_keep_the_case_of_their_values() -> None:
    (request,) = read_in_pieces(GET, [])
    assert request.header(b"authorization") == b"AWS4 Credential=K/x"
    assert request.header(b"range") is None
    assert (request.path, request.query) == (b"/b/key%20x", "a=1")


@pytest.mark.parametrize(
    "wire",
    [
        b"GET\r\n\r\n",
        b"GET / HTTP/2\r\n\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: four\r\n\r\n",
        b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"x" * 70_000,
    ],
)
def test_what_is_no_request_is_refused(wire: bytes) -> None:
    reader = RequestReader()
    reader.feed(wire)
    with pytest.raises(MalformedRequestError):
        reader.next_request()


def test_a_client_that_waits_for_leave_to_send_its_body_is_noticed() -> None:
    reader = RequestReader()
    reader.feed(b"PUT /b/k HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    assert reader.next_request() is None
    assert reader.waits_for_continue
    reader.feed(b"body")
    request = reader.next_request()
    assert request is not None
    assert request.body == b"body"
    assert not reader.waits_for_continue


@given(st.lists(st.binary(min_size=1), max_size=5), st.integers(min_value=1, max_value=50))
def test_chunks_decode_to_what_was_encoded(chunks: list[bytes], step: int) -> None:
    wire = b"".join(b"%x;s=1\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\nsum: x\r\n\r\nnext"
    decoder = ChunkedBody()
    rests = [decoder.feed(wire[at : at + step]) for at in range(0, len(wire) - 4, step)]
    assert rests[-1] is not None
    assert decoder.body() == b"".join(chunks)


KEYS = st.sets(st.text("ab/ü\U0001f600", min_size=1, max_size=6), max_size=20)


@given(KEYS, st.sampled_from(["", "a", "a/", "ü"]), st.sampled_from(["", "/", "b/"]), st.integers(1, 5))
def test_pages_join_to_the_listing_that_the_keys_define(keys: set[str], prefix: str, delimiter: str, size: int) -> None:
    stored = StoredObject(b"", 0.0)
    bucket = Bucket(dict.fromkeys(keys, stored))
    expected: dict[str, StoredObject | None] = {}
    for key in sorted((k for k in keys if k.startswith(prefix)), key=str.encode):
        head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        expected.setdefault(prefix + head + found if found else key, None if found else stored)
    names, after, more = [], "", True
    while more:
        entries, more = bucket.page(prefix, delimiter, after, size)
        assert len(entries) == size or not more
        names += [(entry.name, entry.stored) for entry in entries]
        after = entries[-1].name if entries else ""
    assert names == list(expected.items())


def test_keys_with_the_same_body_share_one_object() -> None:
    body = b"x" * 100
    objects = objects_from_bodies([("a", body), ("b", body), ("c", b"y")], 0.0)
    assert objects["a"] is objects["b"]
    assert bytes(objects["c"].body) == b"y"
