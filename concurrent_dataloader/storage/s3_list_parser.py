"""Reads the objects of a listing's page many times as fast as botocore, which spends its time on their dates.

botocore takes 40 to 80 ms of CPU for a page of 1,000 objects, under the interpreter's lock: as much as the request
itself, so that listing in threads would gain little. And its tree of XML elements keeps Python's garbage collector
busy, which walks all that torch has on the heap. What is read here are two fields of each object; everything else of
the answer, errors included, is left to botocore. Figures: ``python -m benchmarking.listing_speed``.
"""

from __future__ import annotations

import re
from typing import Any

# Part of botocore's event system since 2024; an older botocore never calls us, and reads the objects by itself.
_EVENT = "before-parse.s3.ListObjectsV2"

_START, _END = b"<Contents>", b"</Contents>"
_KEY = re.compile(rb"<Key>([^<]*)</Key>")
_SIZE = re.compile(rb"<Size>([0-9]+)</Size>")


def read_listings_fast(client: Any) -> None:
    """Makes a botocore client hand out the ``Contents`` of a listing with ``Key`` and ``Size`` alone."""
    client.meta.events.register(_EVENT, take_objects)


def take_objects(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """Moves the objects from the answer's body to what botocore adds to its own reading of it.

    An answer that is not written as S3 writes it (with a namespace's prefix, CDATA or entities in a key) stays as it
    is, for botocore to read.

    Args:
        response_dict: The answer: ``status_code`` and ``body``, which is changed.
        customized_response_dict: Gets ``Contents``; keys stay URL-encoded, and are decoded by botocore as its own.
    """
    body = response_dict["body"]
    if response_dict["status_code"] != 200 or b"<!" in body:
        return
    rest, *contents = body.split(_START)
    pieces, objects = [rest], []
    for each in contents:
        text, end, behind = each.partition(_END)
        key, size = _KEY.search(text), _SIZE.search(text)
        if not end or key is None or size is None or b"&" in key[1]:
            return
        objects.append({"Key": key[1].decode(), "Size": int(size[1])})
        pieces.append(behind)
    if objects:
        response_dict["body"] = b"".join(pieces)
        customized_response_dict["Contents"] = objects
