"""The endpoint as S3 clients see it."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from endpoint_client import LARGE, OBJECTS, ODD_KEY, SMALL, read

from benchmarking.endpoint import Fault, S3Endpoint


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
    for call in (lambda: s3.get_object_acl(Bucket="data", Key="small.bin"), lambda: s3.list_objects(Bucket="data")):
        with pytest.raises(ClientError, match="NotImplemented"):
            call()


def test_a_put_object_is_there_for_gets_and_listings(s3: Any) -> None:
    s3.put_object(Bucket="data", Key="put/a b.json", Body=b"[1]")
    s3.put_object(Bucket="data", Key="put/a b.json", Body=LARGE)
    assert s3.get_object(Bucket="data", Key="put/a b.json")["Body"].read() == LARGE
    listed = s3.list_objects_v2(Bucket="data", Prefix="put/")
    assert [(entry["Key"], entry["Size"]) for entry in listed["Contents"]] == [("put/a b.json", len(LARGE))]


def test_a_deleted_object_is_gone_for_gets_and_listings_and_may_be_deleted_again(s3: Any) -> None:
    s3.put_object(Bucket="data", Key="short-lived", Body=b"x")
    for _ in range(2):
        s3.delete_object(Bucket="data", Key="short-lived")
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket="data", Key="short-lived")
    assert s3.list_objects_v2(Bucket="data", Prefix="short-lived")["KeyCount"] == 0


def test_a_lagging_listing_shows_the_past_of_its_keys_while_reads_show_the_present(
    s3: Any, endpoint: S3Endpoint
) -> None:
    for key in ("lag/gone", "lag/replaced", "lag/same", "other/gone"):
        s3.put_object(Bucket="data", Key=key, Body=b"old")
    past = [(key, 3) for key in ("lag/gone", "lag/replaced", "lag/same")]
    endpoint.configure(faults=[Fault("lag", key="lag/*", attempts=(1, 2, 3))])
    for key in ("lag/gone", "other/gone", "never/there"):
        s3.delete_object(Bucket="data", Key=key)
    for key in ("lag/new", "lag/replaced", "lag/replaced", "other/new"):
        s3.put_object(Bucket="data", Key=key, Body=b"newer")

    def listed(prefix: str, **options: Any) -> list[tuple[str, int]]:
        answer = s3.list_objects_v2(Bucket="data", Prefix=prefix, **options)
        return [(entry["Key"], entry["Size"]) for entry in answer.get("Contents", [])]

    assert listed("lag/") == past
    assert listed("lag/", StartAfter="lag/gone", MaxKeys=1) == past[1:2]
    assert listed("other/") == [("other/new", 5)]  # its pattern leaves them alone
    assert listed("lag/") == [("lag/new", 5), ("lag/replaced", 5), ("lag/same", 3)]  # the fourth listing is up to date
    assert s3.get_object(Bucket="data", Key="lag/replaced")["Body"].read() == b"newer"
    assert endpoint.stats().faults == {"lag": 3}


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
