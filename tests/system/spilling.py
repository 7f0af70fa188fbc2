"""A gateway with a marker for every secret that it meets, driven through all that can go wrong by a provider and a
verifier who repeat secrets wherever they can. What is found of the markers afterwards is the tests'.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import msgspec
from isthmus.v1 import admin_pb2, admin_pb2_grpc
from isthmusd.core.tenants import ForwardGrant, Role

from tests.edge.gateway import Gateway, running_gateway
from tests.fakes import jose
from tests.fakes.answers import CUT, STALL, Answer, chat_events, raw, sse, stream, whole
from tests.fakes.identity_provider import FakeIdentityProvider
from tests.fakes.provider import FakeProvider
from tests.fakes.token_verifier import FakeTokenVerifier
from tests.system.background import in_background
from tests.system.callers import Office
from tests.system.ways import CALLS, OWN, Heard, Wish, wishing
from tests.system.wire import connected, request

SHARED = "the-gateways-canary-at-the-provider"
OWNED = "a-tenants-canary-at-the-provider"
SET = "a-canary-set-by-an-administrator"
CALLERS = "a-callers-canary-at-the-provider"
HOOKED = "hooked-canary-for-the-verifier"
X_API_KEY = "canary-in-another-header"
COOKIE = "canary-in-a-cookie"
ASKED = "canary-in-what-was-asked"
ANSWERED = "canary-in-what-was-answered"
QUERIED = "canary-in-a-query"
ENVIRON = "canary-in-the-environment"
ORGANIZATION = "org-Canary0123456789"

Spill = Callable[[str, str], Answer]
"""An answer of a provider that was paid with a secret and lives at a URL."""


def refusing(status: int) -> Spill:
    def spill(secret: str, url: str) -> Answer:
        text = f"Incorrect key {secret} of {ORGANIZATION} at {url}/chat"
        error = {"message": text, "type": f"t_{secret}", "param": f"p.{secret}", "code": f"c_{secret}"}
        headers = (("openai-debug", f"Bearer {secret}"), ("x-ratelimit-note", secret), ("request-id", f"r-{secret}"))
        return whole({"error": error}, status, headers)

    return spill


def in_band(secret: str, url: str) -> Answer:
    failure = {"error": {"message": f"{secret} at {url}", "type": "server_error", "code": secret}}
    return stream(*chat_events("ok")[:3], sse(failure))


def after_200(secret: str, url: str) -> Answer:
    return whole({"error": {"message": f"{secret} at {url}", "type": "invalid_request_error", "code": secret}})


SPILLS: dict[str, Spill] = {
    **{str(status): refusing(status) for status in (400, 401, 402, 403, 404, 409, 422, 429, 500, 503)},
    "in band": in_band,
    "after 200": after_200,
    "no answer": lambda _, __: raw(CUT),
    "garbage": lambda secret, url: raw(f"ICY 200 {secret} {url}\r\n\r\n".encode()),
    "redirect": lambda secret, url: whole(b"", 307, (("location", f"{url}/x?key={secret}"),)),
    "page": lambda secret, _: whole(f"<html>{secret}</html>".encode(), 502),
    "cut": lambda _, __: stream(*chat_events("ok")[:3], CUT),
    "good": lambda _, __: whole({"id": "x", "note": ANSWERED}),
}


@dataclass(slots=True, kw_only=True)
class Spilled:
    """What there is to search."""

    gateway: Gateway
    provider: FakeProvider
    data: Path
    temporary: Path
    office: Office
    secrets: dict[str, bytes]
    """By what they are; none of them may be written anywhere."""
    passed: dict[str, str]
    """Of them those that callers send: none of them may reach the provider."""
    heard: list[tuple[str, Heard]] = field(default_factory=list[tuple[str, Heard]])
    """Every answer, with what was asked."""
    bodies: list[tuple[str, Heard]] = field(default_factory=list[tuple[str, Heard]])
    """Those whose bodies are the provider's, byte for byte."""


@contextmanager
def spilling(folder: Path) -> Iterator[Spilled]:
    """Run everything, drive it, and give it while it still runs."""
    data, temporary = folder / "data", folder / "run"
    temporary.mkdir(parents=True)
    with (
        Office(data) as office,
        in_background(FakeProvider()) as provider,
        in_background(FakeIdentityProvider()) as identities,
        in_background(FakeTokenVerifier()) as verifier,
    ):
        for tenant in ("acme", "shared"):
            office.tenant(tenant, forward=ForwardGrant.SHARED)
        office.provider_key("acme", "openai", OWNED)
        now = int(time.time())
        passed = {
            "own": office.key("acme").token,
            "shared": office.key("shared").token,
            "admin": office.key("acme", role=Role.ADMIN).token,
            "identity": identities.token(iat=now - 5, exp=now + 3600, client_id="acme"),
            "unknown identity": identities.token(key=jose.rsa("other"), iat=now - 5, exp=now + 3600),
            "expired identity": identities.token(iat=now - 500, exp=now - 400, client_id="acme"),
            "hook": HOOKED,
        }
        verifier.answers[HOOKED] = grpc.StatusCode.INTERNAL
        issuer = {"issuer": identities.url, "audience": jose.AUDIENCE, "jwks_url": identities.keys_url}
        config = {
            "data": str(data),
            "providers": {"openai": {"base_url": provider.url, "api_key": SHARED}},
            "auth": {
                "anonymous": False,
                "provider_keys": True,
                "issuers": {"app": issuer},
                "verifier": {"address": verifier.address, "prefixes": ["hooked-"]},
            },
            "log": {"level": "debug"},
        }
        environment = {"TMPDIR": str(temporary), "MISTRAL_API_KEY": ENVIRON}
        with running_gateway(config, 2, environment) as gateway:
            spilled = Spilled(
                gateway=gateway,
                provider=provider,
                data=data,
                temporary=temporary,
                office=office,
                secrets={name: token.encode() for name, token in passed.items()},
                passed=passed,
            )
            asyncio.run(_drive(spilled))
            _administer(spilled)
            spilled.secrets |= _never_sent(office)
            yield spilled


def _never_sent(office: Office) -> dict[str, bytes]:
    private = jose.rsa().as_dict(private=True)
    signing = office.keyring.signer.private.private_bytes_raw()
    texts = {
        "shared": SHARED,
        "owned": OWNED,
        "set": SET,
        "callers": CALLERS,
        "other header": X_API_KEY,
        "cookie": COOKIE,
        "asked": ASKED,
        "answered": ANSWERED,
        "queried": QUERIED,
        "environment": ENVIRON,
        "private half": str(private["d"]),
        "prime": str(private["p"]),
        **{f"master {place}": each for place, each in enumerate(office.secret.split())},
    }
    return {
        **{f"the {name}": text.encode() for name, text in texts.items()},
        "the signing key": signing,
        "the signing key in text": base64.urlsafe_b64encode(signing).rstrip(b"="),
    }


async def _drive(spilled: Spilled) -> None:
    gateway = spilled.gateway
    async with wishing(gateway.url, gateway.grpc_target) as made:
        credential = await OWN["http credentials"](made(token=spilled.passed["own"]))
        spilled.passed["credential"] = msgspec.json.decode(credential.body)["key"]
        custody = await OWN["http credentials"](made(token=CALLERS))
        spilled.passed["custody"] = msgspec.json.decode(custody.body)["key"]
        spilled.secrets |= {name: spilled.passed[name].encode() for name in ("credential", "custody")}
        await _refused(spilled, made)
        paying = {"own": OWNED, "shared": SHARED, "identity": OWNED, "custody": CALLERS}
        for who, secret in paying.items():
            for name, spill in SPILLS.items():
                spilled.provider.reply_always(spill(secret, spilled.provider.url))
                # Another text each time: an answer that was kept would be given in place of the one spilled here.
                wish = made(token=spilled.passed[who], text=f"{ASKED} {name}", more=_MORE)
                await _all_ways(spilled, f"{who} {name}", wish)
        spilled.provider.reply_always(refusing(401)(CALLERS, spilled.provider.url))
        await _all_ways(spilled, "callers own 401", made(token=CALLERS, text=ASKED, more=_MORE[1:]))
        await _silent(spilled, made)
    spilled.provider.reply_always(None)


_MORE = (("x-api-key", X_API_KEY), ("cookie", f"session={COOKIE}"), ("x-auth-token", X_API_KEY))


async def _all_ways(spilled: Spilled, what: str, wish: Wish) -> None:
    async def one(name: str) -> None:
        # Of an answer with 200 to `responses` every member is the provider's, `error` too.
        is_theirs = "forward" in name or ("responses" in name and "after 200" in what)
        with suppress(EOFError):  # what is passed on as it is breaks off where the provider does
            (spilled.bodies if is_theirs else spilled.heard).append((f"{what}: {name}", await CALLS[name](wish)))

    await asyncio.gather(*map(one, CALLS))


async def _refused(spilled: Spilled, made: Callable[..., Wish]) -> None:
    key, jwt = spilled.passed["own"], spilled.passed["identity"]
    tokens = {
        "admin": spilled.passed["admin"],
        "unknown": spilled.passed["unknown identity"],
        "expired": spilled.passed["expired identity"],
        "hook": HOOKED,
        "short": key[:-6],
        "wrong kind": key.removeprefix("isk_"),
        "two kinds": f"isk_{jwt}",
        "foreign issuer": jose.token(jose.rsa("other"), iss="https://elsewhere.example"),
    }
    spilled.secrets["foreign issuer"] = tokens["foreign issuer"].encode()
    for what, token in tokens.items():
        wish, ways = made(token=token, text=ASKED), {**CALLS, **OWN}
        answers = await asyncio.gather(*(way(wish) for way in ways.values()))
        spilled.heard += [(f"refused {what}: {name}", answer) for name, answer in zip(ways, answers, strict=True)]
    for scheme in (f"Basic {key}", f"Bearer {key} {key}", f"bearer{key}", f"Bearer {key}\t", key, f"Bearer {key}é"):
        odd = made(more=(("authorization", scheme),), query=f"?api_key={QUERIED}", text=ASKED)
        for name in ("http chat", "http models", "http tenant forward", "http tenant forward stream"):
            with suppress(OSError, EOFError):  # Envoy may not read it at all
                way = {**CALLS, **OWN}[name]
                spilled.heard.append((f"odd {scheme[:7]}: {name}", await way(odd)))
    good = made(token=key, query=f"?key={QUERIED}", text=ASKED)
    for name in ("http chat", "http embedding", "http models"):
        spilled.heard.append((f"query: {name}", await {**CALLS, **OWN}[name](good)))
    bad = made(token=key, text=ASKED, members={"messages": ASKED, "temperature": ASKED, "stop": {"a": ASKED}})
    for name in ("http chat", "http auto", "http completion"):
        spilled.provider.reply_always(None)
        await CALLS[name](bad)  # what is wrong with his own words may be told to the caller, and to nobody else


async def _silent(spilled: Spilled, made: Callable[..., Wish]) -> None:
    """Deadlines, and callers who leave."""
    spilled.provider.reply_always(stream(*chat_events("ok")[:2], STALL))
    for token in (spilled.passed["own"], spilled.passed["shared"]):
        late = made(token=token, text=ASKED, more=(*_MORE, ("x-isthmus-timeout", "0.2")))
        for name in ("http chat", "http chat stream", "http completion"):
            spilled.heard.append((f"late: {name}", await CALLS[name](late)))
        headers = (("content-type", "application/json"), ("authorization", f"Bearer {token}"), *_MORE)
        for path in ("/v1/chat/completions", "/api/openai/v1/chat/completions", "/v1/files"):
            async with connected(spilled.gateway.url) as exchange:
                body = msgspec.json.encode(
                    {"model": "ok", "stream": True, "messages": [{"role": "user", "content": ASKED}]}
                )
                await exchange.send(request(spilled.gateway.url, path, body, headers=headers))
                await exchange.head()


def _administer(spilled: Spilled) -> None:
    """Give and take secrets over the admin address, well and badly."""
    pb, who = admin_pb2, (("authorization", f"Bearer {spilled.passed['admin']}"),)
    setting: dict[str, Any] = {"provider": "openai", "secret": SET}
    asked: list[tuple[str, Any]] = [
        ("SetProviderKey", pb.SetProviderKeyRequest(tenant="acme", name="more", **setting)),
        ("SetProviderKey", pb.SetProviderKeyRequest(tenant="nobody", **setting)),
        ("SetProviderKey", pb.SetProviderKeyRequest(tenant="acme", provider="no such", secret=SET)),
        ("SetProviderKey", pb.SetProviderKeyRequest(tenant="acme", provider="openai", secret=f"{SET}\n{SET}")),
        ("ListProviderKeys", pb.ListProviderKeysRequest(tenant="acme")),
        ("GetTenant", pb.GetTenantRequest(id="acme")),
        ("ListTenants", pb.ListTenantsRequest()),
        ("ListKeys", pb.ListKeysRequest()),
        ("GetKey", pb.GetKeyRequest(id=spilled.passed["own"])),
        ("RevokeKey", pb.RevokeKeyRequest(id=spilled.passed["own"])),
        ("GetIssuedCredential", pb.GetIssuedCredentialRequest(id=spilled.passed["credential"])),
        ("ListIssuedCredentials", pb.ListIssuedCredentialsRequest()),
        ("ListRecords", pb.ListRecordsRequest(page_size=1000, include_bodies=True)),
        ("ResealTenant", pb.ResealTenantRequest(id="acme")),
    ]
    with grpc.insecure_channel(spilled.gateway.admin_url.removeprefix("http://")) as channel:
        stub = admin_pb2_grpc.AdminServiceStub(channel)
        for method, asking in asked:
            try:
                body = getattr(stub, method)(asking, metadata=who, timeout=10).SerializeToString()
                answer = Heard(status="OK", headers=(), body=body)
            except grpc.RpcError as error:
                told = repr([(name, value) for name, value in error.trailing_metadata()])
                answer = Heard(status=error.code().name, headers=(), body=(told + error.details()).encode())
            spilled.heard.append((f"admin {method}", answer))
