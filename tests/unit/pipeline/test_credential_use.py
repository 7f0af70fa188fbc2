"""What a temporary credential may do when it is used, without sockets: no more than its issuer may then, no longer, and
with a provider key that nobody finds."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import msgspec
import pytest
from isthmusd.core.call import AuthMethod
from isthmusd.core.errors import GatewayError
from isthmusd.core.identity import Identity
from isthmusd.core.keyring import Unsealable, open_apart
from isthmusd.core.tenants import Grants, Tenant
from isthmusd.core.tokens import Unverified, read_unverified
from isthmusd.dialects.openai.credentials import decode_credential_wish
from isthmusd.pipeline.credentials import (
    issue_credential,
    list_credentials,
)
from isthmusd.pipeline.run import Gateway, run
from jwt.utils import base64url_decode

from tests.fakes.callers import KEYRING, SECRET, identification
from tests.unit.pipeline.gateway import Built, chat_answer, whole
from tests.unit.pipeline.issuing import PROVIDER_KEY, chat, chatting, issue, keyed, of, refusal
from tests.unit.pipeline.world import START, headers_of, identifier_of, play


def test_anybody_issues_what_anybody_may_where_that_is_allowed() -> None:
    built = Built.saying(whole(chat_answer()))

    issued = issue(built, None)

    assert (issued.credential.tenant, issued.credential.issuer.method) == ("default", "anonymous")
    assert play(chat(built, chatting(issued.token))) == 200
    assert dict(built.upstream.sent[0].headers)["authorization"] == "Bearer sk-ours"
    assert built.journal.records[-1].auth == AuthMethod.TEMPORARY_CREDENTIAL


def test_what_anybody_issued_ends_with_anonymous_access() -> None:
    built = Built.saying()
    issued = issue(built, None)

    built.options = replace(built.options, anonymous=False)

    assert refusal(chat(built, chatting(issued.token))).http_status == 401


def test_a_credential_calls_as_its_tenant_under_its_own_name() -> None:
    built, key = keyed()
    issued = issue(built, key)

    status = play(chat(built, chatting(issued.token)))

    record = built.journal.records[-1]
    assert status == 200
    assert (record.tenant, record.key_id, record.auth) == ("acme", issued.credential.id, "temporary_credential")


def test_a_credential_does_no_more_than_its_issuer_may_now() -> None:
    built, key = keyed(Grants(models=frozenset({"gpt", "other"})))
    issued = issue(built, key)

    built.known.keys["key_1"] = replace(built.known.keys["key_1"], grants=Grants(models=frozenset({"other"})))

    refused = refusal(chat(built, chatting(issued.token)))
    assert (refused.http_status, refused.code) == (403, "model_not_allowed")


@pytest.mark.parametrize("facts", [{"revoked_at": START}, {"expires_at": START}], ids=["revoked", "expired"])
def test_a_credential_ends_with_its_issuer(facts: dict[str, float]) -> None:
    built, key = keyed()
    issued = issue(built, key)

    built.known.keys["key_1"] = replace(built.known.keys["key_1"], **facts)

    assert refusal(chat(built, chatting(issued.token))).http_status == 401


def test_a_credential_ends_with_its_tenant() -> None:
    built, key = keyed()
    issued = issue(built, key)

    built.known.tenants["acme"] = Tenant(id="acme", revoked_at=START)

    assert refusal(chat(built, chatting(issued.token))).http_status == 401


def test_expiry_limits_starting_not_finishing() -> None:
    built = Built.saying(whole(chat_answer()))

    async def scene() -> tuple[int, str | None]:
        issued = await issue_credential(built.gateway, of(None, b'{"ttl_seconds":2}'), decode_credential_wish)
        async with run(built.gateway, chatting(issued.token)) as reply:
            await asyncio.sleep(3)
            status = reply.status
        with pytest.raises(GatewayError) as late:
            await chat(built, chatting(issued.token))
        return status, late.value.code

    assert play(scene()) == (200, "credential_expired")


def test_a_provider_key_is_in_neither_half() -> None:
    built = Built.saying()

    issued = issue(built, PROVIDER_KEY)

    kept = built.known.credentials[issued.credential.id]
    said = read_unverified(issued.token)
    assert said is not None
    assert kept.custody is not None
    secret = base64url_decode(said.claims["secret"])
    assert open_apart(kept.custody, secret=secret, owner=kept.id) == PROVIDER_KEY.encode()
    for half in (issued.token, str(said.claims), repr(kept), kept.custody.decode("latin-1")):
        assert PROVIDER_KEY not in half
    assert len(secret) == 32


def test_r8_nothing_but_the_token_opens_the_custody() -> None:
    built = Built.saying()
    one, other = issue(built, PROVIDER_KEY), issue(built, PROVIDER_KEY)
    custody = one.credential.custody
    said, others = read_unverified(one.token), read_unverified(other.token)
    assert said is not None and others is not None and custody is not None

    own, foreign = base64url_decode(said.claims["secret"]), base64url_decode(others.claims["secret"])
    for secret in (SECRET.encode(), foreign, bytes(32), KEYRING.signer.private.private_bytes_raw(), b""):
        with pytest.raises(Unsealable):
            open_apart(custody, secret=secret, owner=one.credential.id)
    with pytest.raises(Unsealable):
        open_apart(custody, secret=own, owner=other.credential.id)
    with pytest.raises(Unsealable):
        KEYRING.open(custody, purpose="custody", owner=one.credential.id)
    assert own != foreign
    assert custody != other.credential.custody


def test_a_provider_key_is_sent_as_the_callers_own() -> None:
    built = Built.saying(whole(chat_answer()), anonymous=False)
    issued = issue(built, PROVIDER_KEY, b'{"model":"gpt"}')

    status = play(chat(built, chatting(issued.token)))

    assert status == 200
    assert dict(built.upstream.sent[0].headers)["authorization"] == f"Bearer {PROVIDER_KEY}"
    assert PROVIDER_KEY not in repr(built.journal.records)


def test_what_a_provider_key_issued_ends_when_such_keys_are_no_longer_taken() -> None:
    built = Built.saying()
    issued = issue(built, PROVIDER_KEY)

    built.options = replace(built.options, provider_keys=False)

    assert refusal(chat(built, chatting(issued.token))).http_status == 401


def test_a_custody_that_is_gone_opens_nothing() -> None:
    built = Built.saying()
    issued = issue(built, PROVIDER_KEY)

    built.known.credentials[issued.credential.id] = replace(issued.credential, custody=None)

    assert refusal(chat(built, chatting(issued.token))).http_status == 401


def test_the_credentials_project_wins() -> None:
    built, key = keyed()
    issued = issue(built, key, b'{"logging":{"project_name":"mine"}}')

    play(chat(built, chatting(issued.token, headers=headers_of(x_isthmus_project="other"))))

    assert built.journal.records[-1].project == "mine"


def test_without_a_project_the_issuers_grant_decides() -> None:
    built, key = keyed(Grants(projects=frozenset({"p"})))
    issued = issue(built, key)

    play(chat(built, chatting(issued.token, headers=headers_of(x_isthmus_project="p"))))
    refused = refusal(chat(built, chatting(issued.token, headers=headers_of(x_isthmus_project="q"))))

    assert built.journal.records[1].project == "p"
    assert refused.code == "project_not_allowed"


@dataclass(frozen=True, slots=True)
class OneIdentity:
    """Believes every token of one issuer."""

    expires_at: float

    def knows(self, issuer: str) -> bool:
        return issuer == "https://id.example"

    async def verify(self, token: str, said: Unverified) -> Identity:
        return Identity(
            issuer="https://id.example", subject=str(said.claims["sub"]), tenant="acme", expires_at=self.expires_at
        )


def identity_token(subject: str) -> str:
    parts = ({"alg": "RS256"}, {"iss": "https://id.example", "sub": subject})
    return ".".join([*(_base64(msgspec.json.encode(part)) for part in parts), "c2ln"])


def _base64(data: bytes) -> str:
    return msgspec.json.encode(data).decode().strip('"').rstrip("=").replace("+", "-").replace("/", "_")


def with_identities(built: Built, expires_at: float) -> Gateway:
    means = identification(built.known, OneIdentity(expires_at))
    return replace(built.gateway, identification=means, identifier=identifier_of(built.options, built.clock, means))


def test_an_identity_issues_for_its_tenant_and_no_longer_than_it_is_known() -> None:
    built, _ = keyed()
    gateway = with_identities(built, START + 100)

    issued = play(issue_credential(gateway, of(identity_token("ann")), decode_credential_wish))
    others = play(list_credentials(gateway, of(identity_token("bob")), after="", limit=0))

    assert issued.credential.issuer.id == "https://id.example|ann"
    assert issued.credential.expires_at == START + 100
    assert play(chat(built, chatting(issued.token), gateway)) == 200
    assert built.journal.records[-1].tenant == "acme"
    assert refusal(chat(built, chatting(issued.token))).http_status == 401, "nobody believes its issuer any more"
    assert others.credentials == []
