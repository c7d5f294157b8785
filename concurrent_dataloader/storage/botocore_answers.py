"""What botocore and aiobotocore leave to their caller to look at in an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from concurrent_dataloader._base.errors import IncompleteBody


def announced_length(answer: Mapping[str, Any]) -> int | None:
    """Returns how many bytes an answer announces; None for a chunked body, which has an end of its own.

    Raises:
        IncompleteBody: It announces no end at all: nothing would tell a whole body from one that breaks off.
    """
    length: int | None = answer.get("ContentLength")
    encoding = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("transfer-encoding", "")
    if length is None and "chunked" not in encoding.lower():
        raise IncompleteBody("the answer announces no length, so that nothing shows whether it is whole")
    return length


def stay_at_the_endpoint(client: Any) -> None:
    """Lets a client take a redirect for the error that it is.

    botocore would look for the bucket's region on AWS, by a request that the same endpoint answers alike, and so on
    until the stack ends. Where the endpoint is given, there is no other region to go to.
    """
    client.meta.events.register_last("before-parameter-build.s3", _mark_as_redirected)


def _mark_as_redirected(context: dict[str, Any], **_: Any) -> None:
    context.setdefault("s3_redirect", {})["redirected"] = True
