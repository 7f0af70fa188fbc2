"""`/api/openai` with the tokens of an identity provider, in the form that Firebase gives them: the claim decides whose
key pays, and nothing that a caller writes beside it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.fakes import jose
from tests.fakes.answers import chat_events, stream
from tests.fakes.identity_provider import FakeIdentityProvider
from tests.system.background import in_background
from tests.system.callers import Office
from tests.system.curl import Curled, curl
from tests.system.pair import Pair, running_pair

pytestmark = pytest.mark.edge
PROJECT = "demo-app"
ISSUER = f"https://securetoken.google.com/{PROJECT}"
HELLO = '{"messages":[{"role":"user","content":"Hello"}]}'


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A gateway that believes an identity provider."""

    pair: Pair
    identities: FakeIdentityProvider

    def token(self, key: jose.Key | None = None, **said: Any) -> str:
        """A good token of the tenant acme, but for what is said."""
        now = int(time.time())
        usual: dict[str, Any] = {
            "iss": ISSUER,
            "aud": PROJECT,
            "iat": now,
            "auth_time": now,
            "exp": now + 3600,
            "client_id": "acme",
        }
        return self.identities.token(key, **{**usual, **said})

    def call(self, *arguments: str, token: str | None = None, data: str = HELLO) -> Curled:
        bearer = ("-H", f"Authorization: Bearer {token or self.token()}")
        url = f"{self.pair.url}/api/openai/v1/chat/completions"
        return curl("-N", *bearer, "-H", "Content-Type: application/json", *arguments, url, "-d", data)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    data = tmp_path_factory.mktemp("identity")
    with Office(data) as office, in_background(FakeIdentityProvider()) as identities:
        office.tenant("acme")
        office.provider_key("acme", "openai", "sk-acmes")
        office.tenant("rival")
        office.provider_key("rival", "openai", "sk-rivals")
        office.tenant("poor")
        office.tenant("bound", models={"ok"})
        office.provider_key("bound", "openai", "sk-bounds")
        office.subject("rival", ISSUER, "rita")
        issuer = {"firebase_project": PROJECT, "jwks_url": identities.keys_url}
        with running_pair(data=str(data), auth={"issuers": {"app": issuer}}) as pair:
            yield App(pair=pair, identities=identities)


def paid_with(app: App) -> str | None:
    return app.pair.provider.last.header("authorization")


def test_the_documented_request(app: App) -> None:
    events = chat_events("gpt-4o")
    app.pair.provider.reply_with(stream(*events))

    answer = app.call()

    assert (answer.status, answer.body) == (200, b"".join(events))
    assert app.pair.provider.last.path == "/v1/chat/completions"
    assert paid_with(app) == "Bearer sk-acmes"


@pytest.mark.parametrize(
    ("said", "paid"),
    [
        ({"client_id": "rival"}, "sk-rivals"),
        ({"client_id": None, "firebase": {"tenant": "rival"}}, "sk-rivals"),
        ({"client_id": None, "sub": "rita"}, "sk-rivals"),
        ({"client_id": "acme", "sub": "rita"}, "sk-acmes"),
    ],
)
def test_the_verified_token_names_the_tenant(app: App, said: dict[str, Any], paid: str) -> None:
    assert app.call(token=app.token(**said)).status == 200
    assert paid_with(app) == f"Bearer {paid}"


def test_no_header_names_another_tenant(app: App) -> None:
    named = ("client_id", "client-id", "x-client-id", "x-tenant", "x-isthmus-tenant", "x-isthmus-int-tenant")
    headers = [part for name in named for part in ("-H", f"{name}: rival")]

    assert app.call(*headers).status == 200
    assert paid_with(app) == "Bearer sk-acmes"


@pytest.mark.parametrize("said", [{"client_id": None}, {"client_id": "nobody"}, {"client_id": 7}])
def test_an_identity_without_a_tenant_gets_the_documented_error(app: App, said: dict[str, Any]) -> None:
    answer = app.call(token=app.token(**said))

    assert (answer.status, answer.body) == (500, b'{"error":"Client ID not found"}')
    assert answer.headers["content-type"] == "application/json"


def test_a_tenant_without_a_key_gets_the_documented_error(app: App) -> None:
    answer = app.call(token=app.token(client_id="poor"))

    assert (answer.status, answer.body) == (500, b'{"error":"OpenAI API key not found"}')


@pytest.mark.parametrize(
    "said",
    [
        {"exp": int(time.time()) - 3600},
        {"aud": "another-app"},
        {"iss": "https://securetoken.google.com/another-app"},
        {"sub": ""},
        {"auth_time": int(time.time()) + 3600},
        {"key": jose.rsa("unpublished")},
    ],
)
def test_every_failed_token_is_told_alike(app: App, said: dict[str, Any]) -> None:
    count = len(app.pair.provider.requests)

    answer = app.call(token=app.token(**said))

    assert (answer.status, answer.body) == (401, b'{"error":"Authentication failed"}')
    assert len(app.pair.provider.requests) == count


def test_a_tenants_grants_hold(app: App) -> None:
    token = app.token(client_id="bound")

    assert app.call(token=token).status == 403
    assert app.call(token=token, data='{"model":"other","messages":[]}').status == 403
    assert app.call(token=token, data='{"model":"ok","messages":[]}').status == 200
    assert paid_with(app) == "Bearer sk-bounds"
