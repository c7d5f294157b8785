"""ListObjectsV2: one page of a listing as XML."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote
from xml.sax.saxutils import escape

from benchmarking.endpoint.behaviour import Refusal
from benchmarking.endpoint.objects import Bucket, Entry

MAX_KEYS = 1000  # S3's own largest page
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
# A bare carriage return or line feed would be changed by an XML parser.
LINE_ENDS = {"\r": "&#13;", "\n": "&#10;"}


def list_objects(name: str, bucket: Bucket, query: str) -> str | Refusal:
    """Returns the answer's XML, or the error where the query is none of ListObjectsV2.

    Args:
        name: The bucket's name.
        bucket: The objects.
        query: The query string as it came.
    """
    asked = dict(parse_qsl(query, keep_blank_values=True))
    if asked.get("list-type") != "2":
        return Refusal(501, "NotImplemented", "This endpoint lists with ListObjectsV2 only.")
    try:
        size = min(int(asked.get("max-keys", MAX_KEYS)), MAX_KEYS)
        after = _after(asked)
    except ValueError as error:
        return Refusal(400, "InvalidArgument", str(error))
    if size < 0:
        return Refusal(400, "InvalidArgument", "max-keys must not be negative")
    prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter", "")
    entries, truncated = bucket.page(prefix, delimiter, after, size) if size else ([], False)
    as_url = asked.get("encoding-type") == "url"
    parts = [_element("Name", name), _element("Prefix", prefix, as_url)]
    parts += [_element("Delimiter", delimiter, as_url)] if delimiter else []
    parts += [_element("StartAfter", asked["start-after"], as_url)] if "start-after" in asked else []
    parts += [_element("ContinuationToken", asked[token])] if (token := "continuation-token") in asked else []
    parts += [_element("EncodingType", "url")] if as_url else []
    parts += [_element("KeyCount", str(len(entries))), _element("MaxKeys", str(size))]
    parts += [_element("IsTruncated", "true" if truncated else "false")]
    parts += [_element("NextContinuationToken", _token(entries[-1].name))] if truncated else []
    parts += [_entry(entry, as_url) for entry in entries]
    return f'<ListBucketResult xmlns="{NAMESPACE}">{"".join(parts)}</ListBucketResult>'


def _after(asked: dict[str, str]) -> str:
    token = asked.get("continuation-token")
    if token is None:
        return asked.get("start-after", "")
    try:
        return base64.urlsafe_b64decode(token).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("The continuation token provided is incorrect") from error


def _token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _entry(entry: Entry, as_url: bool) -> str:
    if entry.stored is None:
        return f"<CommonPrefixes>{_element('Prefix', entry.name, as_url)}</CommonPrefixes>"
    modified = datetime.fromtimestamp(entry.stored.modified_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return (
        f"<Contents>{_element('Key', entry.name, as_url)}<LastModified>{modified}</LastModified>"
        f"<ETag>{escape(entry.stored.etag)}</ETag><Size>{len(entry.stored.body)}</Size>"
        f"<StorageClass>STANDARD</StorageClass></Contents>"
    )


def _element(tag: str, text: str, as_url: bool = False) -> str:
    return f"<{tag}>{escape(quote(text) if as_url else text, LINE_ENDS)}</{tag}>"
