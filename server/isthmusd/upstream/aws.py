"""Signs calls as AWS wants it (signature version 4), with botocore's own signer and credentials. Loaded when a call
needs it.

The path goes out percent-encoded, and the signer encodes it once more, as every service but S3 does: what is signed
must be made of exactly the bytes that are sent, so nothing below may touch the URL.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    Credentials,
    DeferredRefreshableCredentials,
    ReadOnlyCredentials,
    RefreshableCredentials,
)
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError
from botocore.session import Session

from isthmusd.core.errors import InvalidRequest, Misconfigured, Told, Unreachable, UnsupportedFeature, UpstreamError
from isthmusd.core.request import Outbound
from isthmusd.core.signing import AwsSigning
from isthmusd.upstream.held import Held, Lease
from isthmusd.upstream.signed import Signed, with_headers

ASK_AGAIN_S = 60.0
"""botocore renews temporary credentials a quarter of an hour before their end, if it is asked."""
LARGE_BODY_BYTES = 2**20
"""Above it the body's hash is made in a thread."""
SIGNED = ("content-type", "host")
"""Beside `x-amz-*`."""
SENT = ("authorization", "x-amz-date", "x-amz-security-token")
"""What the signer adds."""
NONE_FOUND = "the gateway has no AWS credentials; its operator must configure them"
REFUSED = "the gateway's AWS credentials could not be had; its operator must correct them"
UNREACHABLE = "the service that gives the gateway its AWS credentials could not be reached; try again"
STREAMED = "this provider signs whole bodies: a body that is streamed to it must be smaller"


class AwsSigner:
    """One credential. botocore blocks when it reads files or asks services: a thread does it, once at a time."""

    refusals = frozenset({401, 403})

    def __init__(self, signing: AwsSigning, clock: Callable[[], float] = time.monotonic) -> None:
        self._signing = signing
        self._source: Credentials | None = None
        self._held = Held(self._fetch, clock)

    async def sign(self, outbound: Outbound, *, streams: bool) -> Signed:
        """Sign headers and body. Raises UpstreamError, and UnsupportedFeature where the body is not there to hash."""
        if streams:
            raise UnsupportedFeature(STREAMED)
        headers = {name: value for name, value in outbound.headers if _is_signed(name.lower())}
        if not all(value.isascii() for value in headers.values()):
            raise InvalidRequest("the request has a header that cannot be signed: it must be ASCII")
        keys = await self._held.get()
        signature = partial(_signature, self._signing, keys, outbound, headers)
        large = len(outbound.body or b"") > LARGE_BODY_BYTES
        added = await asyncio.to_thread(signature) if large else signature()
        # Left in, a caller's own headers of these names would be sent beside ours.
        sent = with_headers(outbound, added, instead_of=SENT)
        return Signed(outbound=sent, refused=partial(self._refused, keys))

    async def aclose(self) -> None:
        """End a fetch that runs."""
        await self._held.aclose()

    def _refused(self, keys: ReadOnlyCredentials) -> None:
        if self._held.refuse(keys):
            # The operator's files may hold others by now.
            self._source = None

    async def _fetch(self) -> Lease[ReadOnlyCredentials]:
        try:
            return await asyncio.to_thread(self._ask)
        except (BotoCoreError, ClientError, RuntimeError, OSError) as error:
            raise _failure(error) from error

    def _ask(self) -> Lease[ReadOnlyCredentials]:
        source = self._source or _source(self._signing)
        if source is None:
            raise Misconfigured(NONE_FOUND)
        keys: ReadOnlyCredentials = source.get_frozen_credentials()
        self._source = source
        return Lease(value=keys, good_for_s=ASK_AGAIN_S if isinstance(source, RefreshableCredentials) else None)


def _source(signing: AwsSigning) -> Credentials | None:
    """Find credentials as the operator said; blocks."""
    session: Any = Session(profile=signing.profile)
    if signing.access_key_id is not None:
        session.set_credentials(signing.access_key_id, signing.secret_access_key, signing.session_token)
    own: Credentials | None = session.get_credentials()
    if own is None or signing.role_arn is None:
        return own
    fetcher = AssumeRoleCredentialFetcher(
        partial(session.create_client, region_name=signing.region),
        own,
        signing.role_arn,
        extra_args={"RoleSessionName": "isthmus"},
    )
    return DeferredRefreshableCredentials(refresh_using=fetcher.fetch_credentials, method="assume-role")


def _signature(
    signing: AwsSigning, keys: ReadOnlyCredentials, outbound: Outbound, headers: Mapping[str, str]
) -> dict[str, str]:
    request: Any = AWSRequest(
        method=outbound.method, url=outbound.url, data=outbound.body or b"", headers=dict(headers)
    )
    SigV4Auth(keys, signing.service, signing.region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items() if name.lower() in SENT}


def _is_signed(name: str) -> bool:
    return name in SIGNED or (name.startswith("x-amz-") and name not in SENT)


def _failure(error: Exception) -> UpstreamError:
    """Tell what is wrong with the operator's credentials from what passes."""
    told = Told(detail=f"AWS: {type(error).__name__}: {error}"[:500])
    passing = isinstance(error, (ConnectionError, HTTPClientError))
    if isinstance(error, ClientError):
        answer = cast("dict[str, dict[str, int]]", error.response)
        passing = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500
    return Unreachable(UNREACHABLE, told=told) if passing else Misconfigured(REFUSED, told=told)
