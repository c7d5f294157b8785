"""S3 through obstore: a tenth of boto3's CPU per request, for reading only."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from concurrent_dataloader.storage import obstore_process
from concurrent_dataloader.storage.obstore_failures import classify_obstore
from concurrent_dataloader.storage.options import S3Options
from concurrent_dataloader.storage.process_local import ProcessLocal
from concurrent_dataloader.storage.retry import FIRST_PAUSE_S, MAX_PAUSE_S, Retrying, check_length
from concurrent_dataloader.storage.s3_connection import DEFAULT_REGION, S3Connection

if TYPE_CHECKING:
    from obstore.store import S3Credential, S3Store

# obstore asks again five minutes before the end: so every five minutes here. botocore keeps at least ten minutes of
# life in what it hands out (its mandatory refresh), so nothing is used after its end.
CREDENTIALS_LIFE = timedelta(minutes=10)

# obstore drops a leading or trailing slash, and so reads another object; it refuses the rest of these.
_NOT_FOR_OBSTORE = re.compile(r"(?:^|/)\.{0,2}(?:/|\Z)|[\x00-\x1f\x7f]")


def addressable(key: str) -> bool:
    """Whether obstore reads exactly this key: no empty, ``.`` or ``..`` segment, no control character."""
    return _NOT_FOR_OBSTORE.search(key) is None


class ObstoreObjects:
    """The objects of one bucket, read through obstore.

    Args:
        options: Where and how long.
        connection: Endpoint and credentials of this process.
        boto3_client: This process's boto3 client, which is asked where a bucket on AWS lies.
        describe: Names an object for messages.
    """

    def __init__(
        self,
        options: S3Options,
        connection: ProcessLocal[S3Connection],
        boto3_client: Callable[[], Any],
        describe: Callable[[str], str],
    ) -> None:
        self._options = options
        self._connection = connection
        self._boto3_client = boto3_client
        self._describe = describe
        self._store = ProcessLocal(self._build_store)
        self._retrying = Retrying(options.max_attempts, options.deadline_s, classify_obstore)

    def get(self, key: str) -> bytes:
        return self._retrying.call(lambda: self._read(key), lambda: self._describe(key))

    def get_range(self, key: str, start: int, end: int) -> bytes:
        return self._retrying.call(lambda: self._read(key, (start, end)), lambda: self._describe(key))

    async def aget(self, key: str) -> bytes:
        return await self._retrying.acall(lambda: self._aread(key), lambda: self._describe(key))

    def _read(self, key: str, span: tuple[int, int] | None = None) -> bytes:
        import obstore

        answer = obstore.get(self._store.get(), key, options={"range": span} if span else None)
        body = answer.bytes().to_bytes()
        start, end = answer.range
        check_length(len(body), end - start)
        return body

    async def _aread(self, key: str) -> bytes:
        import obstore

        answer = await obstore.get_async(self._store.get(), key)
        body = (await answer.bytes_async()).to_bytes()
        check_length(len(body), answer.meta["size"])
        return body

    def _build_store(self) -> S3Store:
        from obstore.store import S3Store

        options, connection = self._options, self._connection.get()
        endpoint_url, region_name = connection.endpoint_url, connection.region_name or DEFAULT_REGION
        virtual_hosted = False
        if endpoint_url is None:
            endpoint_url, region_name = locate_on_aws(self._boto3_client(), options)
            virtual_hosted = "." not in options.bucket_name  # a dot in it would not match the certificate
            if virtual_hosted:
                endpoint_url = endpoint_url.replace("://", f"://{options.bucket_name}.")
        obstore_process.mark_used()
        # Every setting that obstore would else take from the environment is given: what we resolved counts.
        return S3Store(
            options.bucket_name,
            aws_endpoint_url_s3=endpoint_url,
            endpoint=endpoint_url,
            region=region_name,
            virtual_hosted_style_request=virtual_hosted,
            skip_signature=options.unsigned,
            credential_provider=None if options.unsigned else _credential_provider(connection),
            client_options=_client_options(options, connection, endpoint_url),
            retry_config={
                "max_retries": options.max_attempts - 1,
                "retry_timeout": timedelta(seconds=options.deadline_s),
                "backoff": {
                    "init_backoff": timedelta(seconds=FIRST_PAUSE_S),
                    "max_backoff": timedelta(seconds=MAX_PAUSE_S),
                    "base": 2,
                },
            },
        )


def locate_on_aws(client: Any, options: S3Options) -> tuple[str, str]:
    """Returns endpoint and region of a bucket on AWS: unlike boto3, obstore does not follow a bucket to its region."""
    from botocore.exceptions import ClientError

    endpoint_url, configured = str(client.meta.endpoint_url), str(client.meta.region_name)
    if options.region_name is not None:
        return endpoint_url, options.region_name
    try:
        answer = client.head_bucket(Bucket=options.bucket_name)
    except ClientError as error:  # a 403 names the region too; whatever else is wrong, the read itself will say
        answer = error.response
    region_name = answer["ResponseMetadata"].get("HTTPHeaders", {}).get("x-amz-bucket-region", configured)
    if region_name == configured:
        return endpoint_url, configured
    if configured in endpoint_url:
        return endpoint_url.replace(configured, region_name), region_name
    return f"https://s3.{region_name}.amazonaws.com", region_name  # it was us-east-1's, which names no region


def _client_options(options: S3Options, connection: S3Connection, endpoint_url: str) -> Any:
    settings: dict[str, Any] = {
        "allow_http": urlsplit(endpoint_url).scheme == "http",
        "allow_invalid_certificates": False,
        "connect_timeout": timedelta(seconds=options.connect_timeout_s),
        "read_timeout": timedelta(seconds=options.read_timeout_s),
        "timeout": timedelta(seconds=options.deadline_s),
    }
    if connection.ca_bundle is not None and Path(connection.ca_bundle).is_file():
        settings["root_certificate"] = Path(connection.ca_bundle).read_bytes()
    return settings


def _credential_provider(connection: S3Connection) -> Callable[[], S3Credential]:
    """Returns a function that obstore calls for credentials, and again before they end."""
    from botocore.credentials import RefreshableCredentials

    credentials = connection.session.get_credentials()

    def provide() -> S3Credential:
        frozen = credentials.get_frozen_credentials()  # refreshes them where that is due
        ends = isinstance(credentials, RefreshableCredentials)
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + CREDENTIALS_LIFE if ends else None,
        }

    return provide
