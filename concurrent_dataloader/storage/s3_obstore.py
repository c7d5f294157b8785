"""Obstore's client for S3: a tenth of boto3's CPU per request, for reading only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from concurrent_dataloader.storage.attempt_clients import Limits
from concurrent_dataloader.storage.obstore_objects import client_settings, retry_settings
from concurrent_dataloader.storage.options import S3Options
from concurrent_dataloader.storage.s3_connection import DEFAULT_REGION, S3Connection

if TYPE_CHECKING:
    from obstore.store import S3Credential, S3Store

# obstore asks again five minutes before the end: so every five minutes here. botocore keeps at least ten minutes of
# life in what it hands out (its mandatory refresh), so nothing is used after its end.
CREDENTIALS_LIFE = timedelta(minutes=10)


def build_s3_store(
    options: S3Options, limits: Limits, connection: S3Connection, locate: Callable[[], tuple[str, str]]
) -> S3Store:
    """Returns obstore's store over one bucket of S3, or of an S3-compatible store.

    Args:
        options: Where.
        limits: How long.
        connection: Endpoint and credentials of this process.
        locate: Returns endpoint and region of the bucket, where it lies on AWS.
    """
    from obstore.store import S3Store

    endpoint_url, region_name = connection.endpoint_url, connection.region_name or DEFAULT_REGION
    virtual_hosted = options.addressing_style == "virtual"
    if endpoint_url is None:
        endpoint_url, region_name = locate()
        if options.addressing_style == "auto":
            virtual_hosted = "." not in options.bucket_name  # a dot in it would not match the certificate
    if virtual_hosted:
        endpoint_url = endpoint_url.replace("://", f"://{options.bucket_name}.", 1)
    # Every setting that obstore would else take from the environment is given: what we resolved counts.
    return S3Store(
        options.bucket_name,
        aws_endpoint_url_s3=endpoint_url,
        endpoint=endpoint_url,
        region=region_name,
        virtual_hosted_style_request=virtual_hosted,
        skip_signature=options.unsigned,
        credential_provider=None if options.unsigned else _credential_provider(connection),
        client_options=client_settings(limits, endpoint_url, connection.ca_bundle),
        retry_config=retry_settings(limits),
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


def _credential_provider(connection: S3Connection) -> Callable[[], S3Credential]:
    """Returns a function that obstore calls for credentials, and again before they end."""
    from botocore.credentials import RefreshableCredentials

    credentials = connection.credentials

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
