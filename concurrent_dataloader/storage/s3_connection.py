"""Where an S3 store lies and as whom it is asked: resolved once per process, the same for all three clients."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from typing import Any

from concurrent_dataloader._base.errors import AccessDenied, OptionError, StorageError
from concurrent_dataloader.storage.attempt_clients import Limits
from concurrent_dataloader.storage.botocore_failures import classify_botocore
from concurrent_dataloader.storage.options import S3Options, StaticCredentials, check_addressing
from concurrent_dataloader.storage.process_local import ProcessLocal
from concurrent_dataloader.storage.quiet_botocore import hide_tokens_in_logs
from concurrent_dataloader.storage.request_options import check_endpoint_url

logger = logging.getLogger(__name__)

# S3's own name for a store without regions: any S3-compatible endpoint accepts signatures for it.
DEFAULT_REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class S3Connection:
    """What `connect` found.

    Attributes:
        credentials: botocore's; None where requests are unsigned.
        endpoint_url: The endpoint that the options or the AWS configuration name; None for AWS itself.
        region_name: The configured region; None where none is.
        ca_bundle: PEM file of the trusted authorities; None for the system's.
        session: The botocore session that makes clients with these credentials. Where the search for them did not need
            it, it is made when the first client is: its handlers would cost each forked worker 12 ms before its first
            request, and obstore needs none.
    """

    credentials: Any = field(repr=False)
    endpoint_url: str | None
    region_name: str | None
    ca_bundle: str | None
    session: ProcessLocal[Any]

    def create_client(self, config: Any) -> Any:
        """Returns a botocore client with that configuration."""
        return self.session.get().create_client("s3", config=config, **self.client_arguments())

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
    from botocore.exceptions import BotoCoreError

    hide_tokens_in_logs()
    configuration = _configuration()
    try:
        configuration.get_scoped_config()  # fails where there is no such profile, whatever else is given
        endpoint_url = options.endpoint_url or configured_endpoint(configuration)
        region_name = options.region_name or configuration.get_config_variable("region") or os.environ.get("AWS_REGION")
        ca_bundle = options.ca_bundle or configuration.get_config_variable("ca_bundle")
        credentials, session = (None, None) if options.unsigned else _find_credentials(options)
    except BotoCoreError as error:
        failure = classify_botocore(error)
        cause, detail = (failure.error, failure.detail) if failure else (StorageError, type(error).__name__)
        raise cause(f"s3://{options.bucket_name}: the AWS configuration cannot be used: {detail}") from error
    if endpoint_url is not None:
        check_endpoint_url(endpoint_url)
        check_addressing(options.addressing_style, endpoint_url)
        region_name = region_name or DEFAULT_REGION
    if ca_bundle is not None and not os.path.exists(ca_bundle):
        raise OptionError(f"AWS_CA_BUNDLE or ca_bundle: {ca_bundle!r} does not exist")
    sessions = ProcessLocal(lambda: _session_with(credentials, session))
    return S3Connection(credentials, endpoint_url, region_name, ca_bundle, sessions)


def _configuration() -> Any:
    """Returns a botocore session for reading the AWS configuration only, without the handlers of its clients."""
    import botocore.session

    return botocore.session.Session(include_builtin_handlers=False)


def _find_credentials(options: S3Options) -> tuple[Any, Any]:
    """Returns the credentials of the AWS chain, else the fallback ones, and the botocore session of the chain, if any.

    The environment comes first in the chain. It is asked by itself, since the chain and its session cost a forked
    worker some 20 ms.
    """
    import botocore.session
    from botocore.credentials import Credentials, EnvProvider

    session, found = None, EnvProvider().load()
    if found is None:
        session = botocore.session.Session()
        found = session.get_credentials()
    fallback = fallback_credentials(found, options)
    if fallback is not None:
        found = Credentials(fallback.access_key, fallback.secret_key, fallback.session_token)
    return found, session


def _session_with(credentials: Any, session: Any) -> Any:
    """Returns the session, or a new one in place of None, which will use these credentials."""
    import botocore.session

    session = session or botocore.session.Session()
    session.register_component("credential_provider", _Found(credentials))
    return session


@dataclass(frozen=True, slots=True)
class _Found:
    """What a botocore session asks for credentials, in place of the AWS chain."""

    credentials: Any = field(repr=False)

    def load_credentials(self) -> Any:
        return self.credentials


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
    from botocore.exceptions import BotoCoreError

    try:
        return configured_endpoint(_configuration())
    except BotoCoreError as error:
        raise AccessDenied(f"the AWS configuration cannot be used: {error}") from error


def fallback_credentials(found: Any, options: S3Options) -> StaticCredentials | None:
    """Returns the credentials to use in place of what the AWS chain found, and logs the source, never its secrets.

    Args:
        found: What the chain found: credentials or None.
        options: Their bucket is named in messages, their fallback credentials are used where the chain found none.

    Raises:
        AccessDenied: There are none at all.
    """
    store = f"s3://{options.bucket_name}"
    if found is not None:
        logger.info("%s: credentials from the AWS chain (%s)", store, found.method)
        return None
    if options.fallback_credentials is None:
        raise AccessDenied(
            f"{store}: no credentials in the environment, ~/.aws or an instance role, and no credentials file was "
            "given; provide one of them, or send unsigned requests if the bucket is public"
        )
    logger.info("%s: credentials from the credentials file", store)
    return options.fallback_credentials


def is_newer(found: S3Connection, used: S3Connection) -> bool:
    """Whether the credentials may differ from those that a store has refused.

    Those that botocore renews by itself may be newer than what it handed out.
    """
    from botocore.credentials import RefreshableCredentials

    new, old = found.credentials, used.credentials
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
