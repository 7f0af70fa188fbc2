"""A gateway's callers, with one tenant and one key, and time that moves only when told."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from isthmusd.core.call import Principal, Stamp
from isthmusd.core.errors import GatewayError
from isthmusd.core.identity import Identity
from isthmusd.core.tenants import GatewayKey, Grants, Issuer, TemporaryCredential, Tenant
from isthmusd.core.tokens import CREDENTIAL_TYPE, Unverified, mint
from isthmusd.pipeline.callers import Callers
from isthmusd.pipeline.options import PipelineOptions

from tests.fakes.callers import ISSUER, KEYRING, KnownCallers, identification
from tests.fakes.jose import segment
from tests.unit.pipeline.world import START

IDP = "https://id.example"
ACME = Tenant(id="acme", grants=Grants(models=frozenset({"a", "b"}), projects=frozenset({"p"})))


@dataclass(slots=True)
class StillClock:
    """Seconds since the start, as a test sets them."""

    still_at: float = 0.0

    def now(self) -> float:
        return START + self.still_at

    def monotonic(self) -> float:
        return self.still_at

    def stamp(self) -> Stamp:
        return Stamp(id="stamp", created_at=int(START))


class KnownIdentities:
    """Tokens of one identity provider, by the subject that they claim."""

    def __init__(self) -> None:
        self.issuers = {IDP}
        self.identities: dict[str, Identity | GatewayError] = {}
        self.hook_answers: dict[str, Identity | GatewayError] = {}
        self.asked: Counter[str] = Counter()

    def knows(self, issuer: str) -> bool:
        return issuer in self.issuers

    async def verify(self, token: str, said: Unverified) -> Identity:
        return self._answer(said.claims["sub"], self.identities)

    def _answer(self, name: str, answers: dict[str, Identity | GatewayError]) -> Identity:
        self.asked[name] += 1
        match answers[name]:
            case Identity() as identity:
                return identity
            case error:
                raise error


class KnownAnswers(KnownIdentities):
    """The same as a hook: JWTs, and what begins with `acme_`."""

    def wants(self, token: str, said: Unverified | None) -> bool:
        return said is not None or token.startswith("acme_")

    async def verify(self, token: str, said: Unverified | None = None) -> Identity:
        return self._answer(token, self.hook_answers)


class Scene:
    """A gateway with one tenant, one key and whatever a test adds."""

    def __init__(self, *, with_hook: bool = False, **options: Any) -> None:
        self.known = KnownCallers()
        self.known.tenants["acme"] = ACME
        self.clock = StillClock()
        self.key = self.known.add_key(GatewayKey(id="k-1", tenant="acme"), START)
        self.met: list[Principal] = []
        """Whose refused tokens were, where that is certain."""
        self.identities = KnownIdentities()
        self.hook = KnownAnswers() if with_hook else None
        self.callers = Callers(
            PipelineOptions(**options), self.clock, identification(self.known, self.identities, self.hook)
        )

    def principal(self, token: str) -> Principal:
        return asyncio.run(self.callers.principal(token, self.met.append))

    def refused(self, token: str) -> GatewayError:
        with pytest.raises(GatewayError) as caught:
            self.principal(token)
        assert token not in caught.value.message
        return caught.value

    def credential(self, secret: str | None = None, stored: bool = False, **said: Any) -> str:
        """Add a credential of the key for ten minutes; gives its token."""
        usual: dict[str, Any] = {"id": "t-1", "tenant": "acme", "issuer": Issuer(method="gateway_key", id="k-1")}
        credential = TemporaryCredential(**{**usual, "expires_at": START + 600, **said})
        self.known.credentials[credential.id] = credential
        claims = {"iss": ISSUER, "aud": ISSUER, "jti": credential.id, "tenant": credential.tenant, "iat": int(START)}
        more: dict[str, Any] = {} if secret is None else {"secret": secret}
        more |= {"stored": True} if stored else {}
        return mint(KEYRING.signer, CREDENTIAL_TYPE, {**claims, "exp": int(credential.expires_at), **more})


def jwt(**claims: object) -> str:
    """Write a JWT whose signature nobody looks at here."""
    return f"{segment(json.dumps({'alg': 'RS256'}))}.{segment(json.dumps(claims))}.AAAA"
