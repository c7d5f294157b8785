"""Where an S3 store lies and as whom it is asked: resolved once per process, the same for all three clients."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Any

from concurrent_dataloader._base.errors import AccessDenied, OptionError, StorageError
from concurrent_dataloader.storage.attempt_clients import Limits
from concurrent_dataloader.storage.botocore_failures import classify_botocore
from concurrent_dataloader.storage.options import S3Options, check_addressing
from concurrent_dataloader.storage.quiet_botocore import hide_tokens_in_logs
from concurrent_dataloader.storage.request_options import check_endpoint_url

logger = logging.getLogger(__name__)

# S3's own name for a store without regions: any S3-compatible endpoint accepts signatures for it.
DEFAULT_REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class S3Connection:
    """What `connect` found.

    Attributes:
        session: The botocore session, with its configuration and, unless requests are unsigned, its credentials.
        endpoint_url: The endpoint that the options or the AWS configuration name; None for AWS itself.
        region_name: The configured region; None where none is.
        ca_bundle: PEM file of the trusted authorities; None for the system's.
    """

    session: Any
    endpoint_url: str | None
    region_name: str | None
    ca_bundle: str | None

    def client_arguments(self) -> dict[str, str | None]:
        """Returns what ``create_client`` takes beside its configuration."""
        return {"endpoint_url": self.endpoint_url, "region_name": self.region_name, "verify": self.ca_bundle}


def connect(options: S3Options) -> S3Connection:
    """Resolves endpoint, region and credentials; sends no request to the store.

    The standard AWS chain wins, ``options.fallback_credentials`` come last. On a machine that has none of the chain's
    other sources, the chain probes the instance's metadata service: one attempt of one second by botocore's default
    (``AWS_METADATA_SERVICE_TIMEOUT``, ``AWS_EC2_METADATA_DISABLED``).

    Raises:
        AccessDenied: There are no credentials, or the AWS configuration is broken.
        OptionError: The configured endpoint is no URL, or the CA bundle is missing.
    """
    import botocore.exceptions
    import botocore.session

    hide_tokens_in_logs()
    session = botocore.session.Session()
    try:
        endpoint_url = options.endpoint_url or configured_endpoint(session)
        region_name = options.region_name or session.get_config_variable("region") or os.environ.get("AWS_REGION")
        ca_bundle = options.ca_bundle or session.get_config_variable("ca_bundle")
        found = None if options.unsigned else session.get_credentials()
    except botocore.exceptions.BotoCoreError as error:
        failure = classify_botocore(error)
        cause, detail = (failure.error, failure.detail) if failure else (StorageError, type(error).__name__)
        raise cause(f"s3://{options.bucket_name}: the AWS configuration cannot be used: {detail}") from error
    if not options.unsigned:
        choose_credentials(session, found, options)
    if endpoint_url is not None:
        check_endpoint_url(endpoint_url)
        check_addressing(options.addressing_style, endpoint_url)
        region_name = region_name or DEFAULT_REGION
    if ca_bundle is not None and not os.path.exists(ca_bundle):
        raise OptionError(f"AWS_CA_BUNDLE or ca_bundle: {ca_bundle!r} does not exist")
    return S3Connection(session, endpoint_url, region_name, ca_bundle)


def configured_endpoint(session: Any) -> str | None:
    """Returns the S3 endpoint that the AWS environment or profile names, in the order of the AWS SDKs.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
    """
    if session.get_config_variable("ignore_configured_endpoint_urls"):
        return None
    profile = session.get_scoped_config()
    services = session.full_config.get("services", {}).get(profile.get("services"), {})
    found = (
        os.environ.get("AWS_ENDPOINT_URL_S3")
        or os.environ.get("AWS_ENDPOINT_URL")
        or services.get("s3", {}).get("endpoint_url")
        or profile.get("endpoint_url")
    )
    return str(found) if found else None


def endpoint_of_environment() -> str | None:
    """Returns the S3 endpoint that the AWS environment or profile names, without looking for credentials.

    Raises:
        AccessDenied: The AWS configuration is broken.
    """
    import botocore.exceptions
    import botocore.session

    try:
        return configured_endpoint(botocore.session.Session())
    except botocore.exceptions.BotoCoreError as error:
        raise AccessDenied(f"the AWS configuration cannot be used: {error}") from error


def choose_credentials(session: Any, found: Any, options: S3Options) -> None:
    """Gives the session the fallback credentials where the chain found none, and logs the source, never its secrets.

    Args:
        session: A botocore or aiobotocore session.
        found: What the session's chain found: credentials or None.
        options: Their bucket is named in messages, their fallback credentials are used.

    Raises:
        AccessDenied: There are none at all.
    """
    store, static = f"s3://{options.bucket_name}", options.fallback_credentials
    if found is not None:
        logger.info("%s: credentials from the AWS chain (%s)", store, found.method)
    elif static is not None:
        session.set_credentials(static.access_key, static.secret_key, static.session_token)
        logger.info("%s: credentials from the credentials file", store)
    else:
        raise AccessDenied(
            f"{store}: no credentials in the environment, ~/.aws or an instance role, and no credentials file was "
            "given; provide one of them, or send unsigned requests if the bucket is public"
        )


def is_newer(found: S3Connection, used: S3Connection) -> bool:
    """Whether the credentials may differ from those that a store has refused.

    Those that botocore renews by itself may be newer than what it handed out.
    """
    from botocore.credentials import RefreshableCredentials

    new, old = found.session.get_credentials(), used.session.get_credentials()
    if new is None or old is None:
        return False
    return isinstance(new, RefreshableCredentials) or new.get_frozen_credentials() != old.get_frozen_credentials()


def client_settings(
    options: S3Options, limits: Limits, connection: S3Connection, max_concurrency: int
) -> dict[str, Any]:
    """Returns the arguments of botocore's and aiobotocore's ``Config``: both take the same."""
    import botocore

    settings: dict[str, Any] = {
        "connect_timeout": limits.connect_timeout_s,
        "read_timeout": limits.read_timeout_s,
        "max_pool_connections": max_concurrency,
        "tcp_keepalive": True,
        "retries": {"mode": "standard", "total_max_attempts": 1},  # see retry.py
        # A body is read piece by piece, past botocore's check of an optional checksum; obstore has none either. The
        # length is always checked.
        "response_checksum_validation": "when_required",
    }
    if options.unsigned:
        settings["signature_version"] = botocore.UNSIGNED
    style = options.addressing_style
    if style == "auto" and connection.endpoint_url is not None:
        style = "path"
    if style != "auto":  # AWS's own rules, which botocore then leaves unset
        settings["s3"] = {"addressing_style": style}
    if connection.endpoint_url is not None:
        # Many S3-compatible stores refuse the trailing checksums that AWS has as its default since 2025.
        settings["request_checksum_calculation"] = "when_required"
    return settings
