"""Fetches the public keys of one identity provider. When they are fetched, and how long they count, is `identity.py`'s.

The addresses are the operator's, or stand in the discovery document of an issuer whom he names. They are asked as they
are: no redirect is followed, no proxy asked, no cookie kept; what is read is bounded in size and time.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from isthmusd.core.jwks import KeySet, NoKeySet, read_keys
from isthmusd.upstream.options import IssuerOptions

DISCOVERY = "/.well-known/openid-configuration"
HEADERS = {"user-agent": "isthmus/0.1", "accept": "application/json", "accept-encoding": "identity"}
MAX_BYTES = 2**20
USUAL_AGE_S = 3600.0
LEAST_AGE_S = 60.0
MOST_AGE_S = 86_400.0
MAX_AGE = re.compile(r"(?:^|[\s,])max-age\s*=\s*\"?(\d{1,9})\b", re.IGNORECASE)


class KeysUnreachable(Exception):
    """The keys could not be had. The message is for the operator's log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What an identity provider publishes now."""

    keys: KeySet
    good_for_s: float
    """By its own word, within bounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    body: bytes
    good_for_s: float


async def fetch_keys(session: aiohttp.ClientSession, issuer: IssuerOptions, patience_s: float) -> Published:
    """Get the keys of an issuer. Raises KeysUnreachable."""
    try:
        async with asyncio.timeout(patience_s):
            url = issuer.jwks_url or await _discovered(session, issuer.rules.issuer)
            document = await _read(session, url)
        return Published(keys=read_keys(document.body), good_for_s=document.good_for_s)
    except TimeoutError:
        raise KeysUnreachable(f"no answer within {patience_s:g} s") from None
    except NoKeySet as error:
        raise KeysUnreachable(f"its key set is unusable: {error}") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise KeysUnreachable(f"{type(error).__name__}: {error}"[:500]) from error


def new_session() -> aiohttp.ClientSession:
    """Open what keys are fetched with; it belongs to the running loop, and to who asked for it."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
    )


async def _discovered(session: aiohttp.ClientSession, issuer: str) -> str:
    document = await _read(session, issuer.rstrip("/") + DISCOVERY)
    try:
        said: Any = msgspec.json.decode(document.body)
    except (ValueError, RecursionError):
        raise KeysUnreachable("its discovery document is no JSON") from None
    match said:
        case {"issuer": str(name), "jwks_uri": str(url)} if name == issuer:
            pass
        case _:
            raise KeysUnreachable("its discovery document is another issuer's, or names no jwks_uri")
    if not url.startswith(("https://", "http://") if issuer.startswith("http://") else "https://"):
        raise KeysUnreachable("its discovery document names a jwks_uri without https")
    return url


async def _read(session: aiohttp.ClientSession, url: str) -> _Document:
    async with session.get(url, headers=HEADERS, allow_redirects=False) as answer:
        if answer.status != 200:
            raise KeysUnreachable(f"{url} answers with status {answer.status}")
        if answer.headers.get("content-encoding", "identity").lower() != "identity":
            raise KeysUnreachable(f"{url} answers compressed, which was not asked for")
        body = bytearray()
        async for piece in answer.content.iter_any():
            body += piece
            if len(body) > MAX_BYTES:
                raise KeysUnreachable(f"{url} answers with more than {MAX_BYTES} bytes")
        return _Document(body=bytes(body), good_for_s=good_for_s(answer.headers))


def good_for_s(headers: Any) -> float:
    """Give how long an answer says that it is good, within our bounds."""
    found = MAX_AGE.search(", ".join(headers.getall("cache-control", ())))
    if found is None:
        return USUAL_AGE_S
    age = headers.get("age", "")
    spent = int(age) if age.isascii() and age.isdigit() and len(age) < 10 else 0
    return min(MOST_AGE_S, max(LEAST_AGE_S, float(int(found[1]) - spent)))
