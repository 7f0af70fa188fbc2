"""Temporary credentials from their wish to their end, without sockets: who may issue, what a credential may do, and
that a caller's provider key is nowhere to be found."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest
from isthmusd.core.call import AuthMethod
from isthmusd.core.credentials import CredentialWish, Issued
from isthmusd.core.errors import GatewayError, InvalidRequest
from isthmusd.core.identity import Identity
from isthmusd.core.keyring import Unsealable, open_apart
from isthmusd.core.record import EndReason
from isthmusd.core.request import Arrival, Operation
from isthmusd.core.tenants import GatewayKey, Grants, Project, Tenant
from isthmusd.core.tokens import Unverified, read_unverified
from isthmusd.dialects.openai.credentials import decode_credential_wish
from isthmusd.pipeline.credentials import (
    BODY_BYTES,
    get_credential,
    issue_credential,
    list_credentials,
    revoke_credential,
)
from isthmusd.pipeline.run import Gateway, run
from joserfc import jwt
from joserfc.jwk import KeySet
from jwt.utils import base64url_decode

from tests.fakes.callers import ISSUER, KEYRING, SECRET, identification
from tests.unit.pipeline.gateway import Built, chat_answer, chat_request, whole
from tests.unit.pipeline.world import START, arrival_of, headers_of, identifier_of, play

PROVIDER_KEY = "sk-the-callers-very-own-provider-key"
EVERYTHING = b'{"model":"gpt","ttl_seconds":60,"logging":{"project_name":"p","compress_audio":true}}'


def of(token: str | None, body: bytes = b"{}", **facts: Any) -> Arrival:
    headers = headers_of(authorization=f"Bearer {token}") if token is not None else {}
    return arrival_of({**headers, **facts.pop("headers", {})}, operation=Operation.CREDENTIALS, body=body, **facts)


def issue(built: Built, token: str | None, body: bytes = b"{}", **facts: Any) -> Issued:
    return play(issue_credential(built.gateway, of(token, body, **facts), decode_credential_wish))


def refusal(scene: Any) -> GatewayError:
    with pytest.raises(GatewayError) as refused:
        play(scene)
    return refused.value


def refused_issue(built: Built, token: str | None, body: bytes = b"{}", **facts: Any) -> GatewayError:
    return refusal(issue_credential(built.gateway, of(token, body, **facts), decode_credential_wish))


def keyed(grants: Grants | None = None, **facts: Any) -> tuple[Built, str]:
    """A gateway that knows one key, and its token."""
    built = Built.saying(*(whole(chat_answer()) for _ in range(4)), anonymous=False)
    key = GatewayKey(**{"id": "key_1", "tenant": "acme", "grants": grants or Grants()} | facts)
    return built, built.known.add_key(key, START)


def chatting(token: str, **facts: Any) -> Arrival:
    body = facts.pop("body", chat_request())
    headers = {**headers_of(authorization=f"Bearer {token}"), **facts.pop("headers", {})}
    return arrival_of(headers, body=body, **facts)


async def chat(built: Built, arrival: Arrival, gateway: Gateway | None = None) -> int:
    async with run(gateway or built.gateway, arrival) as reply:
        return reply.status


# RFC 9864 renames it to Ed25519, which fewer verifiers know.
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
def test_r24_an_independent_library_believes_the_token() -> None:
    built, key = keyed()

    issued = issue(built, key, EVERYTHING)

    keys = KeySet.import_key_set(KEYRING.jwks())  # type: ignore[arg-type] # joserfc wants its own names for plain dicts
    believed = jwt.decode(issued.token, keys, algorithms=["EdDSA"])
    assert believed.header == {"alg": "EdDSA", "typ": "tmp+jwt", "kid": KEYRING.signer.kid}
    assert believed.claims == {
        "iss": ISSUER,
        "aud": ISSUER,
        "jti": issued.credential.id,
        "tenant": "acme",
        "iat": int(START),
        "exp": int(START) + 60,
        "model": "gpt",
        "project": "p",
    }


def test_issuing_leaves_one_record_and_gives_its_place_back() -> None:
    built, key = keyed()

    issued = issue(built, key, EVERYTHING, headers=headers_of(x_request_id="r1"))

    record = built.journal.only
    assert (record.operation, record.status, record.end) == ("credentials", 200, EndReason.COMPLETE)
    assert (record.tenant, record.key_id, record.model, record.request_id) == ("acme", "key_1", "gpt", "r1")
    assert record.action == f"CreateCredential {issued.credential.id}"
    assert (built.shown.now, built.shown.most) == (0, 1)
    assert built.upstream.sent == []


def test_r11_the_record_of_issuing_holds_no_token_even_where_bodies_are_recorded() -> None:
    built, key = keyed()
    built.known.tenants["acme"] = Tenant(id="acme", projects={"p": Project(name="p", record_bodies=True)})

    issued = issue(built, key, headers=headers_of(x_isthmus_project="p"))

    assert built.journal.only.project == "p"
    assert issued.token.encode() not in msgspec.json.encode(built.journal.only)
    assert built.journal.only.bodies is None


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (b"", 400, None),
        (b'{"ttl_seconds":0}', 400, "ttl_seconds"),
        (b'{"unknown":1}', 400, "unknown"),
        (b'{"model":"gpt-5"}', 403, "model"),
        (b'{"logging":{"project_name":"q"}}', 403, "logging.project_name"),
        (b" " * BODY_BYTES + b"{}", 413, None),
    ],
)
def test_a_refused_wish_leaves_one_record_and_no_credential(body: bytes, status: int, param: str | None) -> None:
    built, key = keyed(Grants(models=frozenset({"gpt"}), projects=frozenset({"p"})))

    refused = refused_issue(built, key, body)

    assert (refused.http_status, refused.param) == (status, param)
    assert (built.journal.only.status, built.journal.only.end) == (status, EndReason.REFUSED)
    assert built.known.credentials == {}


def test_a_wish_that_is_no_json_is_refused() -> None:
    built, key = keyed()

    refused = refused_issue(built, key, headers=headers_of(content_type="text/plain"))

    assert refused.http_status == 415


def test_the_wish_is_read_only_when_its_issuer_is_known() -> None:
    built, _ = keyed()

    refused = refused_issue(built, None, b"{")

    assert refused.http_status == 401


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


def test_a_credential_lives_as_long_as_its_issuer_at_most() -> None:
    built, key = keyed(expires_at=START + 30.9)

    issued = issue(built, key)

    said = read_unverified(issued.token)
    assert said is not None
    assert said.claims["exp"] == issued.credential.expires_at == START + 30


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


@pytest.mark.parametrize("wish", [b"{}", b'{"model":"gpt"}'])
def test_a_credential_cannot_issue_nor_manage_credentials(wish: bytes) -> None:
    built, key = keyed()
    first = issue(built, key, wish)
    name = first.credential.id

    refusals = [
        refused_issue(built, first.token, wish),
        refusal(get_credential(built.gateway, of(first.token), name)),
        refusal(list_credentials(built.gateway, of(first.token), after="", limit=0)),
        refusal(revoke_credential(built.gateway, of(first.token), name)),
    ]

    assert {(refused.http_status, refused.code) for refused in refusals} == {(403, "issuer_not_allowed")}
    assert list(built.known.credentials) == [name]
    assert built.known.credentials[name].revoked_at is None


def test_a_key_that_administers_issues_nothing() -> None:
    built, key = keyed(role="admin")

    assert refused_issue(built, key).http_status == 403


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


def test_a_caller_sees_its_own_credentials_only() -> None:
    built, key = keyed()
    colleague = built.known.add_key(GatewayKey(id="key_2", tenant="acme"), START)
    stranger = built.known.add_key(GatewayKey(id="key_1b", tenant="other"), START)
    name = issue(built, key).credential.id

    assert play(get_credential(built.gateway, of(key), name)).id == name
    for token in (colleague, stranger, PROVIDER_KEY):
        for doing in (get_credential, revoke_credential):
            missing = refusal(doing(built.gateway, of(token), name))
            unheard = refusal(doing(built.gateway, of(token), "tmp_nobody"))
            assert (missing.http_status, missing.code) == (404, "credential_not_found")
            assert missing.message == unheard.message
        assert play(list_credentials(built.gateway, of(token), after="", limit=0)).credentials == []
    assert built.known.credentials[name].revoked_at is None


def test_the_same_provider_key_finds_what_it_issued() -> None:
    built = Built.saying()
    name = issue(built, PROVIDER_KEY).credential.id

    assert play(get_credential(built.gateway, of(PROVIDER_KEY), name)).id == name
    assert refusal(get_credential(built.gateway, of(PROVIDER_KEY + "x"), name)).http_status == 404


def test_revoking_twice_keeps_the_first_time() -> None:
    built, key = keyed()
    issued = issue(built, key)

    async def scene() -> tuple[float | None, float | None]:
        first = await revoke_credential(built.gateway, of(key), issued.credential.id)
        await asyncio.sleep(5)
        second = await revoke_credential(built.gateway, of(key), issued.credential.id)
        return first.revoked_at, second.revoked_at

    assert play(scene()) == (START, START)
    assert refusal(chat(built, chatting(issued.token))).code == "invalid_api_key"
    assert built.journal.records[1].action == f"RevokeCredential {issued.credential.id}"


@pytest.mark.parametrize("name", ["a\0b", "x" * 65, "ü", "tmp_1' OR '1'='1", "../tmp_1"])
def test_r1_what_can_be_no_id_does_not_reach_the_store(name: str) -> None:
    built, key = keyed()

    assert refusal(get_credential(built.gateway, of(key), name)).http_status == 404
    refused = refusal(list_credentials(built.gateway, of(key), after=name, limit=0))
    assert (refused.http_status, refused.param) == (400, "page_token")


def test_an_id_is_needed() -> None:
    built, key = keyed()

    for doing in (get_credential, revoke_credential):
        refused = refusal(doing(built.gateway, of(key), ""))
        assert isinstance(refused, InvalidRequest)
        assert refused.param == "id"


def test_pages_follow_each_other() -> None:
    built, key = keyed()
    names = {issue(built, key).credential.id for _ in range(5)}

    seen: list[str] = []
    sizes: list[int] = []
    after = ""
    while True:
        page = play(list_credentials(built.gateway, of(key), after=after, limit=2))
        seen += [each.id for each in page.credentials]
        sizes.append(len(page.credentials))
        if page.next is None:
            break
        after = page.next

    assert sizes == [2, 2, 1]
    assert set(seen) == names
    assert len(seen) == 5
    assert len(built.journal.records) == 8


def test_a_negative_page_is_refused() -> None:
    built, key = keyed()

    assert refusal(list_credentials(built.gateway, of(key), after="", limit=-1)).param == "page_size"


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


def test_wishes_may_come_in_any_form() -> None:
    built, key = keyed()

    issued = play(issue_credential(built.gateway, of(key), lambda _: CredentialWish(model="gpt")))

    assert issued.credential.model == "gpt"
