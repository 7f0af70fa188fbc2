"""How a request to a cloud is authenticated where one header with a stored secret is not enough: what is known before
the call. Making tokens and signatures needs a clock and a network: that is `upstream/`.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsSigning:
    """Signature version 4. Without keys the standard chain of AWS is asked: variables, profile, role of the machine."""

    region: str
    service: str = "bedrock"
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    profile: str | None = None
    """Of the operator's AWS files."""
    role_arn: str | None = None
    """Role to assume with what the rest gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleSigning:
    """An OAuth token of a service account; without one, Google's application default credentials."""

    service_account: str | None = field(default=None, repr=False)
    """The JSON text of the account's key file."""
    scope: str = "https://www.googleapis.com/auth/cloud-platform"


@dataclass(frozen=True, slots=True, kw_only=True)
class EntraSigning:
    """An OAuth token of Microsoft Entra, by client credentials."""

    tenant_id: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str = "https://cognitiveservices.azure.com/.default"
    authority: str = "https://login.microsoftonline.com"


Signing = AwsSigning | GoogleSigning | EntraSigning
