"""Gets tokens of Microsoft Entra by client credentials. Keeping them is `held.py`'s.

Source: https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

from __future__ import annotations

from urllib.parse import quote, urlencode

import msgspec

from isthmusd.core.errors import Misconfigured, Told, Unreachable
from isthmusd.core.request import Outbound
from isthmusd.core.signing import EntraSigning
from isthmusd.upstream.held import Lease
from isthmusd.upstream.http import HttpUpstream

ANSWER_BYTES = 65_536
REFUSED = "the gateway's credential for this provider got no token; its operator must correct it"
BUSY = "the provider's token service did not answer as it should; try again"


class _Token(msgspec.Struct):
    access_token: str
    expires_in: float


class _Refusal(msgspec.Struct):
    error: str = ""
    error_description: str = ""


async def fetch(signing: EntraSigning, http: HttpUpstream) -> Lease[tuple[tuple[str, str], ...]]:
    """Ask for a token. Raises Misconfigured if the credential is refused, Unreachable if the service fails."""
    asked = {
        "grant_type": "client_credentials",
        "client_id": signing.client_id,
        "client_secret": signing.client_secret,
        "scope": signing.scope,
    }
    outbound = Outbound(
        method="POST",
        url=f"{signing.authority}/{quote(signing.tenant_id, safe='')}/oauth2/v2.0/token",
        headers=(("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")),
        body=urlencode(asked).encode(),
    )
    async with http.send(outbound) as reply:
        body = await reply.read(ANSWER_BYTES)
        if reply.status != 200:
            kind = Misconfigured if 400 <= reply.status < 500 and reply.status not in {408, 429} else Unreachable
            detail = _why(body) or "no reason given"
            raise kind(
                REFUSED if kind is Misconfigured else BUSY, told=Told(status=reply.status, detail=f"Entra: {detail}")
            )
    try:
        token = msgspec.json.decode(body, type=_Token, strict=False)
    except msgspec.DecodeError as error:
        raise Unreachable(BUSY, told=Told(detail=f"Entra: {error}")) from error
    return Lease(value=(("authorization", f"Bearer {token.access_token}"),), good_for_s=token.expires_in)


def _why(body: bytes) -> str:
    """Give the operator Entra's own words: they say which of the three values is wrong."""
    try:
        refusal = msgspec.json.decode(body, type=_Refusal)
    except msgspec.DecodeError:
        return ""
    return f"{refusal.error}: {refusal.error_description}"[:500]
