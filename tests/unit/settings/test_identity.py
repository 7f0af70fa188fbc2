"""What is said of identity providers and of the verifier: what is taken, refused and warned of."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from isthmusd.core.issuers import ASYMMETRIC
from isthmusd.settings import Settings, SettingsError, load
from isthmusd.settings.identity import FIREBASE_KEYS
from isthmusd.upstream.options import HookOptions

OIDC = "issuer: https://id.example, audience: my-app"
NO_KEYS = ("no provider has a key: only demo/echo and callers with their own keys will get answers",)


def loaded(tmp_path: Path, text: str = "", environ: Mapping[str, str] | None = None) -> Settings:
    config = tmp_path / "isthmus.yaml"
    config.write_text(text)
    return load(config, environ or {}, {})


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, text)
    return str(caught.value)


def test_nobody_is_believed_unless_it_is_said(tmp_path: Path) -> None:
    settings = loaded(tmp_path)

    assert (settings.issuers, settings.hook) == ((), None)


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("auth: {firebase_project: my-app}", {}),
        ("", {"ISTHMUS_AUTH_FIREBASE_PROJECT": "my-app"}),
        ("auth: {issuers: {google: {firebase_project: my-app}}}", {}),
    ],
)
def test_the_name_of_a_firebase_project_is_enough(tmp_path: Path, text: str, environ: dict[str, str]) -> None:
    (firebase,) = loaded(tmp_path, text, environ).issuers

    assert firebase.rules.issuer == "https://securetoken.google.com/my-app"
    assert firebase.rules.audiences == {"my-app"}
    assert firebase.rules.algorithms == ("RS256",)
    assert firebase.rules.tenant_claims == ("client_id", "firebase.tenant")
    assert firebase.rules.demands_auth_time
    assert firebase.jwks_url == FIREBASE_KEYS


def test_any_issuer_can_be_described(tmp_path: Path) -> None:
    text = f"""
auth:
  issuers:
    plain: {{{OIDC}}}
    full:
      issuer: https://login.example/realm
      audience: [app-1, app-2]
      jwks_url: https://keys.example/jwks.json
      algorithms: [ES256, EdDSA]
      tenant_claims: [org.id, "https://acme.example/tenant"]
      tenants: [acme]
      leeway_s: 0
"""
    plain, full = loaded(tmp_path, text).issuers

    assert (plain.rules.issuer, plain.rules.audiences, plain.jwks_url) == ("https://id.example", {"my-app"}, None)
    assert (plain.rules.tenants, plain.rules.leeway_s, plain.rules.demands_auth_time) == (None, 30, False)
    assert (full.rules.audiences, full.rules.algorithms) == ({"app-1", "app-2"}, ("ES256", "EdDSA"))
    assert full.rules.tenant_claims == ("org.id", "https://acme.example/tenant")
    assert (full.rules.tenants, full.rules.leeway_s) == ({"acme"}, 0)
    assert full.jwks_url == "https://keys.example/jwks.json"


def test_a_verifier_can_be_named(tmp_path: Path) -> None:
    text = "auth: {verifier: {address: 'unix:/run/verifier.sock', prefixes: [acme_], timeout_s: 0.5, tenants: [a]}}"

    assert loaded(tmp_path, text).hook == HookOptions(
        address="unix:/run/verifier.sock", prefixes=("acme_",), timeout_s=0.5, tenants=frozenset("a")
    )
    assert loaded(tmp_path, "auth: {verifier: {address: 'localhost:9000'}}").warnings == NO_KEYS


@pytest.mark.parametrize(
    ("issuer", "complaint"),
    [
        ("{}", "auth.issuers.x: issuer and audience must be set, or firebase_project"),
        ("{issuer: https://id.example}", "auth.issuers.x: audience must be set, or firebase_project"),
        ("{audience: a}", "auth.issuers.x: issuer must be set, or firebase_project"),
        ("{issuer: https://id.example, audience: []}", "auth.issuers.x: audience must be set, or firebase_project"),
        ("{issuer: https://id.example, audience: [a, '']}", "auth.issuers.x.audience: an audience must not be empty"),
        ("{firebase_project: ''}", "auth.issuers.x: expected the id of a Google Cloud project, got ''"),
        ("{firebase_project: a/b}", "auth.issuers.x: expected the id of a Google Cloud project, got 'a/b'"),
        (f"{{{OIDC}, algorithms: []}}", "auth.issuers.x.algorithms: one must be there; choose from RS256, "),
        (f"{{{OIDC}, algorithms: [RS256, none]}}", "'none' is no signature that only the provider can make"),
        (f"{{{OIDC}, algorithms: [HS256]}}", f"choose from {', '.join(ASYMMETRIC)}"),
        (f"{{{OIDC}, algorithms: [rs256]}}", "'rs256' is no signature"),
        (f"{{{OIDC}, tenant_claims: ['']}}", "expected the path of a claim such as firebase.tenant, got ''"),
        (f"{{{OIDC}, tenant_claims: [a..b]}}", "got 'a..b'"),
        (f"{{{OIDC}, leeway_s: 301}}", "auth.issuers.x.leeway_s"),
        ("{issuer: 'https://a b', audience: a}", "auth.issuers.x.issuer: expected a URL without spaces and '|'"),
        ("{issuer: 'https://a|b', audience: a}", "auth.issuers.x.issuer: expected a URL without spaces and '|'"),
        ("{issuer: my-idp, audience: a}", "auth.issuers.x: jwks_url must be set"),
        ("{issuer: 'https://id.example?x=1', audience: a}", "auth.issuers.x: jwks_url must be set"),
        (f"{{{OIDC}, jwks_url: 'file:///keys'}}", "auth.issuers.x.jwks_url: expected an https URL"),
        (f"{{{OIDC}, jwks_url: 'https://u:p@id.example/'}}", "auth.issuers.x.jwks_url: expected an https URL"),
        (f"{{{OIDC}, jwks_url: 'https://[::1'}}", "auth.issuers.x.jwks_url: expected an https URL"),
        (f"{{{OIDC}, jwks_url: 'https://a b/'}}", "auth.issuers.x.jwks_url: expected an https URL"),
        ("{issuer: verifier, audience: a, jwks_url: 'https://a/'}", "verifier is the issuer of this gateway's own"),
    ],
)
def test_an_issuer_that_cannot_be_believed_is_refused(tmp_path: Path, issuer: str, complaint: str) -> None:
    assert complaint in refused(tmp_path, f"auth: {{issuers: {{x: {issuer}}}}}")


def test_an_issuer_needs_no_url_if_its_keys_have_one(tmp_path: Path) -> None:
    text = "auth: {issuers: {x: {issuer: my-idp, audience: a, jwks_url: 'https://id.example/keys'}}}"

    assert loaded(tmp_path, text).issuers[0].rules.issuer == "my-idp"


def test_two_cannot_have_the_same_issuer(tmp_path: Path) -> None:
    complaint = refused(tmp_path, f"auth: {{issuers: {{a: {{{OIDC}}}, b: {{{OIDC}}}}}}}")
    assert "auth.issuers.b: its tokens have the same issuer as those of auth.issuers.a: https://id.example" in complaint

    complaint = refused(tmp_path, "auth: {firebase_project: p1, issuers: {f: {firebase_project: p1}}}")
    assert "the same issuer as those of auth.firebase_project" in complaint


def test_no_issuer_can_be_the_gateway_itself(tmp_path: Path) -> None:
    complaint = refused(tmp_path, f"auth: {{name: 'https://id.example', issuers: {{a: {{{OIDC}}}}}}}")

    assert "https://id.example is the issuer of this gateway's own callers" in complaint


@pytest.mark.parametrize(
    ("verifier", "complaint"),
    [
        ("{}", "auth.verifier: address must be set"),
        ("{address: somewhere}", "auth.verifier.address: 'somewhere' is not HOST:PORT"),
        ("{address: 'host:0'}", "has no port that can be dialled"),
        ("{address: 'unix:socket'}", "auth.verifier.address: expected unix:/path"),
        ("{address: 'http://host:80/'}", "auth.verifier.address"),
        ("{address: 'host:80', prefixes: ['']}", "auth.verifier.prefixes: '' would take in keys of this gateway"),
        ("{address: 'host:80', prefixes: [ok_, is]}", "'is' would take in keys of this gateway"),
        ("{address: 'host:80', prefixes: [isk_]}", "'isk_' would take in keys of this gateway"),
        ("{address: 'host:80', prefixes: [isk_e]}", "'isk_e' would take in keys of this gateway"),
        ("{address: 'host:80', timeout_s: 0}", "auth.verifier.timeout_s"),
    ],
)
def test_a_verifier_that_cannot_be_asked_is_refused(tmp_path: Path, verifier: str, complaint: str) -> None:
    assert complaint in refused(tmp_path, f"auth: {{verifier: {verifier}}}")


@pytest.mark.parametrize(
    ("auth", "warning"),
    [
        (
            "issuers: {a: {issuer: 'http://id.example', audience: a}}",
            "auth.issuers.a.issuer: http://id.example has no TLS: whoever is on the way there can make keys",
        ),
        (
            f"issuers: {{a: {{{OIDC}, jwks_url: 'http://id.example/keys'}}}}",
            "auth.issuers.a.jwks_url: http://id.example",
        ),
        ("verifier: {address: 'auth:9000'}", "auth.verifier.address: callers' tokens go to auth:9000 in the clear"),
    ],
)
def test_what_goes_in_the_clear_is_warned_of(tmp_path: Path, auth: str, warning: str) -> None:
    first = loaded(tmp_path, f"auth: {{{auth}}}").warnings[0]

    assert first.startswith(warning)


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:1"])
def test_what_stays_on_this_machine_is_not_warned_of(tmp_path: Path, host: str) -> None:
    text = f"auth: {{issuers: {{a: {{issuer: 'http://{host}', audience: a}}}}, verifier: {{address: 'unix:/v.sock'}}}}"

    assert loaded(tmp_path, text).warnings == NO_KEYS


def test_check_shows_them_and_what_it_shows_is_a_configuration_again(tmp_path: Path) -> None:
    text = f"auth: {{firebase_project: my-app, issuers: {{a: {{{OIDC}}}}}, verifier: {{address: 'localhost:9000'}}}}"
    config = tmp_path / "isthmus.yaml"
    config.write_text(text)

    shown = subprocess.run(
        [sys.executable, "-m", "isthmusd.cli", "check", "--config", str(config)],
        env={"PATH": "/usr/bin:/bin", "HOME": "/home/user"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout

    auth = yaml.safe_load(shown)["auth"]
    assert (auth["firebase_project"], auth["verifier"]["address"]) == ("my-app", "localhost:9000")
    assert auth["issuers"]["a"]["issuer"] == "https://id.example"
    assert loaded(tmp_path, shown).issuers == loaded(tmp_path, text).issuers
