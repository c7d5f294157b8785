"""Keeps the machine's own AWS configuration, its instance role and its proxies out of tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def isolate_aws(monkeypatch: pytest.MonkeyPatch, folder: Path, *, credentials: bool = True) -> None:
    """Leaves an AWS environment with nothing in it but, on request, dummy credentials."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))
    if credentials:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "dummy-access-key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "dummy-secret")


def write_keys(folder: Path, access_key: str = "key", *, session_token: str = "", profile: str = "default") -> None:
    """Writes the ``credentials`` file of such an environment, with one profile in it."""
    lines = [f"[{profile}]", f"aws_access_key_id = {access_key}", "aws_secret_access_key = secret"]
    lines += [f"aws_session_token = {session_token}"] if session_token else []
    (folder / "credentials").write_text("\n".join(lines) + "\n")
