"""A listing's page, read without botocore."""

from __future__ import annotations

from typing import Any

import pytest

from concurrent_dataloader.storage.s3_list_parser import take_objects

HEAD = '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>false'
HEAD += "</IsTruncated>"
OWNER = "<Owner><ID>0</ID><DisplayName>me</DisplayName></Owner>"


def contents(key: str, size: str) -> str:
    return f"<Contents>\n<Key>{key}</Key><ETag>&quot;0&quot;</ETag><Size>{size}</Size>{OWNER}</Contents>"


def taken(body: str, status_code: int = 200) -> tuple[str, dict[str, Any]]:
    answer, added = {"status_code": status_code, "body": body.encode()}, {}  # type: ignore[var-annotated]
    take_objects(response_dict=answer, customized_response_dict=added, operation_model=None)
    left = answer["body"]
    assert isinstance(left, bytes)
    return left.decode(), added


def test_objects_are_taken_and_the_rest_is_left_to_botocore() -> None:
    prefix = "<CommonPrefixes><Prefix>a%2F</Prefix></CommonPrefixes>"
    body = f"{HEAD}{contents('b%20c', '12')}\n{contents('d', '0')}{prefix}</ListBucketResult>"
    left, added = taken(body)
    assert added == {"Contents": [{"Key": "b%20c", "Size": 12}, {"Key": "d", "Size": 0}]}
    assert left == f"{HEAD}\n{prefix}</ListBucketResult>"


@pytest.mark.parametrize(
    "body",
    [
        f"{HEAD}</ListBucketResult>",
        f"{HEAD}{contents('a', '1')}<Contents><Key>b</Key></Contents></ListBucketResult>",
        f"{HEAD}{contents('a', '1')}<Contents><Key>b</Key><Size>1</Size>",
        f"{HEAD}{contents('a', 'large')}</ListBucketResult>",
        f"{HEAD}{contents('a&#13;b', '1')}</ListBucketResult>",
        f"{HEAD}{contents('<![CDATA[a]]>', '1')}</ListBucketResult>",
        f"{HEAD}<!-- {contents('a', '1')} --></ListBucketResult>",
        f"{HEAD}<s3:Contents><s3:Key>a</s3:Key><s3:Size>1</s3:Size></s3:Contents></ListBucketResult>",
        "no XML",
    ],
)
def test_what_is_not_written_as_s3_writes_it_is_left_to_botocore_whole(body: str) -> None:
    assert taken(body) == (body, {})


def test_errors_are_left_to_botocore() -> None:
    body = f"<Error>{contents('a', '1')}</Error>"
    assert taken(body, 503) == (body, {})
