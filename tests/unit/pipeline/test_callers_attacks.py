"""Every attack on tokens, at the place where all forms of them meet. Provider keys are taken here: a token that fails
must not pass for one either, for it would travel to a provider.
"""

from __future__ import annotations

import asyncio

import pytest
from isthmusd.core.call import AuthMethod
from isthmusd.core.errors import Unauthenticated
from isthmusd.core.identity import Identity, verify_identity
from isthmusd.core.issuers import IssuerRules
from isthmusd.core.jwks import read_keys
from isthmusd.core.tenants import GatewayKey, Issuer, TemporaryCredential, Tenant
from isthmusd.core.tokens import CREDENTIAL_TYPE, KEY_PREFIX, KEY_TYPE, Unverified, mint
from isthmusd.pipeline.callers import Callers
from isthmusd.pipeline.options import PipelineOptions

from tests.fakes import jose
from tests.fakes.callers import KEYRING, KnownCallers, identification
from tests.fakes.jose import NOW, ec, rsa
from tests.fakes.token_attacks import ATTACKS, OWN
from tests.unit.pipeline.calling import StillClock
from tests.unit.pipeline.world import START

OTHER = "https://other.example"


class TwoIssuers:
    """The issuer of the good tokens, and another one with a key of its own."""

    def __init__(self) -> None:
        audiences = frozenset({jose.AUDIENCE})
        self._keys = {
            jose.ISSUER: read_keys(jose.key_set(rsa(), ec())),
            OTHER: read_keys(jose.key_set(rsa("elsewhere-1"))),
        }
        self._rules = {issuer: IssuerRules(issuer=issuer, audiences=audiences) for issuer in self._keys}

    def knows(self, issuer: str) -> bool:
        return issuer in self._keys

    async def verify(self, token: str, said: Unverified) -> Identity:
        issuer = said.claims["iss"]
        return verify_identity(token, said, self._rules[issuer], self._keys[issuer], NOW)


@pytest.fixture
def callers() -> Callers:
    known = KnownCallers()
    known.tenants["acme"] = Tenant(id="acme")
    known.subjects[jose.ISSUER, "alice"] = known.subjects[jose.ISSUER, "root"] = "acme"
    known.keys["k-1"] = GatewayKey(id="k-1", tenant="acme")
    known.credentials["k-1"] = TemporaryCredential(
        id="k-1", tenant="acme", issuer=Issuer(method="gateway_key", id="k-1"), expires_at=NOW + 600
    )
    options = PipelineOptions(provider_keys=True)
    return Callers(options, StillClock(NOW - START), identification(known, TwoIssuers()))


@pytest.mark.parametrize("name", ATTACKS)
def test_r24_no_attack_names_anybody_nor_passes_for_a_providers_key(callers: Callers, name: str) -> None:
    for _ in range(2):
        with pytest.raises(Unauthenticated) as caught:
            asyncio.run(callers.principal(ATTACKS[name]))

    assert ATTACKS[name] not in caught.value.message


def test_the_good_ones_beside_them_open(callers: Callers) -> None:
    good = {
        jose.token(rsa()): AuthMethod.IDENTITY_TOKEN,
        KEY_PREFIX + mint(KEYRING.signer, KEY_TYPE, OWN): AuthMethod.GATEWAY_KEY,
        mint(KEYRING.signer, CREDENTIAL_TYPE, OWN): AuthMethod.TEMPORARY_CREDENTIAL,
        "sk-provider": AuthMethod.PROVIDER_KEY,
    }

    found = {token: asyncio.run(callers.principal(token)).method for token in good}

    assert found == good
