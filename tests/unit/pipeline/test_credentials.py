"""Temporary credentials are issued, shown and taken back, without sockets: who may do so, and what is recorded of it.
What a credential may do is `test_credential_use.py`'s."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest
from isthmusd.core.credentials import CredentialWish
from isthmusd.core.errors import InvalidRequest, Unavailable
from isthmusd.core.record import EndReason
from isthmusd.core.tenants import GatewayKey, Grants, Project, TemporaryCredential, Tenant
from isthmusd.core.tokens import from_base64url, read_unverified
from isthmusd.pipeline.credentials import (
    BODY_BYTES,
    get_credential,
    issue_credential,
    list_credentials,
    revoke_credential,
)
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.fakes.callers import ISSUER, KEYRING, KnownCallers
from tests.unit.pipeline.gateway import Built
from tests.unit.pipeline.issuing import PROVIDER_KEY, chat, chatting, issue, keyed, of, refusal, refused_issue
from tests.unit.pipeline.world import START, headers_of, play

EVERYTHING = b'{"model":"gpt","ttl_seconds":60,"logging":{"project_name":"p","compress_audio":true}}'


# RFC 9864 renames it to Ed25519, which fewer verifiers know.
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
def test_r24_an_independent_library_believes_the_token() -> None:
    built, key = keyed()

    issued = issue(built, key, EVERYTHING)

    keys = KeySet.import_key_set(json.loads(json.dumps(KEYRING.jwks())))
    believed = jwt.decode(issued.token, keys, algorithms=["EdDSA"])
    assert believed.header == {"alg": "EdDSA", "typ": "tmp+jwt", "kid": KEYRING.signer.kid}
    assert len(from_base64url(believed.claims.pop("salt"))) == 16
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


def test_a_credential_lives_as_long_as_its_issuer_at_most() -> None:
    built, key = keyed(expires_at=START + 30.9)

    issued = issue(built, key)

    said = read_unverified(issued.token)
    assert said is not None
    assert said.claims["exp"] == issued.credential.expires_at == START + 30


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


def test_wishes_may_come_in_any_form() -> None:
    built, key = keyed()

    issued = play(issue_credential(built.gateway, of(key), lambda _: CredentialWish(model="gpt")))

    assert issued.credential.model == "gpt"


class NoStore(KnownCallers):
    """A store that does not answer."""

    async def add(self, credential: TemporaryCredential) -> None:
        raise Unavailable("the store does not answer; try again in a moment")


def test_r20_without_a_store_nothing_is_issued() -> None:
    built, key = keyed()
    built.known = NoStore(tenants=built.known.tenants, keys=built.known.keys)

    refused = refused_issue(built, key)

    assert (refused.http_status, refused.retryable) == (503, True)
    assert (built.journal.only.status, built.shown.now) == (503, 0)
