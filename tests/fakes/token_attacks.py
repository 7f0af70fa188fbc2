"""Tokens that must open nothing, by the name of the attack. The provider publishes `rsa-1` and `ec-1`; the attacker has
keys of his own, every public key, and a good token of somebody else.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from isthmusd.core.keyring import Keyring
from isthmusd.core.tokens import CREDENTIAL_TYPE, KEY_PREFIX, KEY_TYPE, mint

from tests.fakes import jose
from tests.fakes.callers import ISSUER, KEYRING
from tests.fakes.jose import NOW, ec, rsa, segment, signed

ATTACKER = rsa("attacker")
OTHER_GATEWAY = Keyring.parse("another-secret-of-tests-9876543210-zyxwvutsrqp")
PEM = rsa().public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)  # pyright: ignore[reportUnknownMemberType] joserfc says too little
HEAD = json.dumps({"alg": "RS256", "kid": "rsa-1"})
NO_TIMES = ("true", "null", '"9999999999"', "[9999999999]", "1e300", "1e999", "9" * 400, "NaN", "Infinity", "-1")
"""As JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forger:
    """Knows all of a gateway but its secret, and of an identity provider but its private keys; what it lets the two
    sign shows that a good signature is not enough."""

    issuer: str = jose.ISSUER
    gateway: str = ISSUER
    """`iss` of the gateway's own tokens."""
    keyring: Keyring = KEYRING
    tenant: str = "acme"
    jti: str = "k-1"
    """The directory knows both a key and a credential of this name, so that the token alone is what is refused."""
    now: int = NOW
    beyond_s: int = 31
    """How far ahead the gateway must not follow."""

    @property
    def own(self) -> dict[str, Any]:
        """The claims of a good token of the gateway."""
        times = {"iat": self.now, "exp": self.now + 600}
        return {"iss": self.gateway, "aud": self.gateway, "jti": self.jti, "tenant": self.tenant, **times}

    def attacks(self) -> Mapping[str, str]:
        """Make one token of every kind."""
        return {**_of_heads(self), **_of_claims(self), **_of_forms(self), **_of_our_own(self)}

    def claims(self, **said: object) -> dict[str, Any]:
        times = {"iat": self.now - 10, "exp": self.now + 3600}
        return jose.claims(**{"iss": self.issuer, **times, **said})

    def token(
        self, key: jose.Key, algorithm: str = "RS256", header: Mapping[str, object] | None = None, **said: object
    ) -> str:
        return jose.token(
            key, algorithm, header, **{"iss": self.issuer, "iat": self.now - 10, "exp": self.now + 3600, **said}
        )

    def hmac_signed(self, secret: bytes, algorithm: str = "HS256") -> str:
        """Sign with what everybody knows."""
        head = segment(json.dumps({"alg": algorithm, "kid": "rsa-1", "typ": "JWT"}))
        text = f"{head}.{segment(json.dumps(self.claims()))}"
        return f"{text}.{segment(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"

    def unsigned(self, algorithm: str, signature: str = "") -> str:
        head = segment(json.dumps({"alg": algorithm, "kid": "rsa-1"}))
        return f"{head}.{segment(json.dumps(self.claims()))}.{signature}"

    def doctored(self, change: Callable[[str, str, str], str]) -> str:
        """Change a good token."""
        head, body, signature = self.token(rsa()).split(".")
        return change(head, body, signature)

    def doubled(self, first: Mapping[str, object], last: Mapping[str, object]) -> str:
        """Sign a payload in which claims stand twice."""
        return signed(rsa(), "RS256", HEAD, json.dumps(self.claims(**first))[:-1] + "," + json.dumps(last)[1:])


def _of_heads(forger: Forger) -> Mapping[str, str]:
    """Attacks on how the signature is to be checked, and by which key."""
    return {
        **{f"alg {name}": forger.unsigned(name, "AA") for name in ("none", "None", "NONE", "nOnE", "none ", "")},
        **{f"alg {name} without signature": forger.unsigned(name) for name in ("none", "None", "NONE", "RS256")},
        "no alg": forger.token(rsa(), header={"alg": None}),
        "alg is a list": forger.token(rsa(), header={"alg": ["RS256"]}),
        "alg is null": signed(rsa(), "RS256", '{"alg":null,"kid":"rsa-1"}', json.dumps(forger.claims())),
        "alg in other letters": forger.token(rsa(), header={"alg": "rs256"}),
        "another asymmetric alg of the same key": forger.token(rsa(), "PS256"),
        "a longer hash of the same key": forger.token(rsa(), "RS512"),
        "HMAC by the PEM of the public key": forger.hmac_signed(PEM),
        "HMAC by the PEM without its last line end": forger.hmac_signed(PEM.rstrip()),
        "HMAC by the JWK": forger.hmac_signed(json.dumps(jose.public(rsa())).encode()),
        "HMAC by the modulus": forger.hmac_signed(base64.urlsafe_b64decode(jose.public(rsa())["n"] + "==")),
        "HMAC by nothing": forger.hmac_signed(b""),
        "HMAC that says RS256": forger.hmac_signed(PEM, "RS256"),
        "RS256 with the name of an EC key": forger.token(rsa(), header={"kid": "ec-1"}),
        "EC signature that says RS256": signed(ec(), "ES256", HEAD, json.dumps(forger.claims())),
        "an alg that is not this issuer's": forger.token(ec(), "ES256"),
        "a key of another issuer": forger.token(rsa("elsewhere-1")),
        "the attacker's key under a published name": forger.token(ATTACKER, header={"kid": "rsa-1"}),
        "kid that is a path": forger.token(ATTACKER, header={"kid": "../../../../dev/null"}),
        "kid that is SQL": forger.token(ATTACKER, header={"kid": "x' UNION SELECT 'key"}),
        "kid with NUL": forger.token(rsa(), header={"kid": "rsa-1\x00"}),
        "kid that is a number": forger.token(rsa(), header={"kid": 1}),
        "kid that is a list": forger.token(rsa(), header={"kid": ["rsa-1"]}),
        "empty kid": forger.token(rsa(), header={"kid": ""}),
        "no kid": forger.token(rsa(), header={"kid": None}),
        "jwk in the header": forger.token(ATTACKER, header={"kid": "rsa-1", "jwk": jose.public(ATTACKER, kid="rsa-1")}),
        "jku in the header": forger.token(ATTACKER, header={"jku": "https://attacker.example/jwks"}),
        "x5u and x5c in the header": forger.token(
            ATTACKER, header={"x5u": "https://attacker.example/", "x5c": ["MIIB"]}
        ),
        "crit": forger.token(rsa(), header={"crit": ["exp"], "exp": forger.now}),
        "empty crit": forger.token(rsa(), header={"crit": []}),
        "unencoded payload": forger.token(rsa(), header={"b64": False, "crit": ["b64"]}),
        "unencoded payload without crit": forger.token(rsa(), header={"b64": False}),
    }


def _of_claims(forger: Forger) -> Mapping[str, str]:
    """Attacks by what a good signature stands below."""
    return {
        "a token to log somebody out": forger.token(rsa(), header={"typ": "logout+jwt"}),
        "expired": forger.token(rsa(), exp=forger.now - 31),
        "expired long ago": forger.token(rsa(), exp=0),
        **{
            f"exp {value[:20]}": signed(
                rsa(), "RS256", HEAD, json.dumps(forger.claims(exp=None))[:-1] + f', "exp": {value}}}'
            )
            for value in (*NO_TIMES, f"{forger.now + 60}000")
        },
        "no exp": forger.token(rsa(), exp=None),
        "no iat": forger.token(rsa(), iat=None),
        "iat in the future": forger.token(rsa(), iat=forger.now + forger.beyond_s),
        "iat true": forger.token(rsa(), iat=True),
        "not yet": forger.token(rsa(), nbf=forger.now + forger.beyond_s),
        "nbf is text": forger.token(rsa(), nbf="0"),
        "another audience": forger.token(rsa(), aud="other-app"),
        "no audience": forger.token(rsa(), aud=None),
        "a list of other audiences": forger.token(rsa(), aud=["other-app", 5, None, ["my-app"]]),
        "audience is a map": forger.token(rsa(), aud={"my-app": "my-app"}),
        "part of the audience": forger.token(rsa(), aud="my-app,other"),
        "another issuer": forger.token(rsa(), iss=f"{forger.issuer}/"),
        "issuer in other letters": forger.token(rsa(), iss=forger.issuer.upper()),
        "issuer that looks the same": forger.token(rsa(), iss="https://id.ex\u0430mple"),
        "issuer is a list": forger.token(rsa(), iss=[forger.issuer]),
        "no issuer": forger.token(rsa(), iss=None),
        "empty sub": forger.token(rsa(), sub=""),
        "no sub": forger.token(rsa(), sub=None),
        "sub is a number": forger.token(rsa(), sub=7),
        "sub of 256 characters": forger.token(rsa(), sub="x" * 256),
        "sub with NUL": forger.token(rsa(), sub="alice\x00"),
        "sub is half a surrogate pair": forger.token(rsa(), sub="\ud800"),
        "sub twice": forger.doubled({}, {"sub": "root"}),
        "issuer twice": forger.doubled({"iss": "https://attacker.example"}, {"iss": forger.issuer}),
    }


def _of_forms(forger: Forger) -> Mapping[str, str]:
    """Tokens that are damaged, or more than a token."""
    return {
        "nested JWT": signed(
            rsa(), "RS256", json.dumps({"alg": "RS256", "kid": "rsa-1", "cty": "JWT"}), forger.token(rsa())
        ),
        "JWE": f"{segment(json.dumps({'alg': 'RSA-OAEP', 'enc': 'A256GCM', 'kid': 'rsa-1'}))}.AA.AA.AA.AA",
        "payload is a list": signed(rsa(), "RS256", HEAD, json.dumps([forger.claims()])),
        "payload is text": signed(rsa(), "RS256", HEAD, json.dumps(forger.issuer)),
        "header is a list": signed(rsa(), "RS256", json.dumps([HEAD]), json.dumps(forger.claims())),
        "deep payload": signed(rsa(), "RS256", HEAD, "[" * 9000),
        "deep claim": signed(
            rsa(), "RS256", HEAD, json.dumps(forger.claims())[:-1] + ',"x":' + "[" * 3000 + "]" * 3000 + "}"
        ),
        "deep header": signed(rsa(), "RS256", '{"alg":' + "[" * 3000 + "]" * 3000 + "}", json.dumps(forger.claims())),
        "payload is no UTF-8": signed(rsa(), "RS256", HEAD, b'{"iss":"\xff"}'),
        "signature stripped": forger.doctored(lambda head, body, _: f"{head}.{body}."),
        "signature and its dot stripped": forger.doctored(lambda head, body, _: f"{head}.{body}"),
        "signature cut": forger.doctored(lambda head, body, signature: f"{head}.{body}.{signature[:-4]}"),
        "signature of zeros": forger.doctored(lambda head, body, signature: f"{head}.{body}.{'A' * len(signature)}"),
        "signature with padding": forger.doctored(lambda head, body, signature: f"{head}.{body}.{signature}=="),
        "header with padding": forger.doctored(lambda head, body, signature: f"{head}=.{body}.{signature}"),
        "other bits behind the signature": forger.doctored(
            lambda head, body, signature: f"{head}.{body}.{signature[:-1]}{chr(ord(signature[-1]) + 1)}"
        ),
        "payload exchanged": forger.doctored(
            lambda head, _, sign: f"{head}.{segment(json.dumps(forger.claims(sub='root')))}.{sign}"
        ),
        "white space in a part": forger.doctored(lambda head, body, signature: f"{head}\n.{body}.{signature}"),
        "quoted": forger.doctored(lambda head, body, signature: f'"{head}.{body}.{signature}"'),
        "one more part": forger.doctored(lambda head, body, signature: f"{head}.{body}.{signature}.AA"),
        "two tokens in one": forger.doctored(lambda head, body, signature: f"{head}.{body}.{signature}" * 2),
        "header that begins with a space": f"{segment(' ' + HEAD)}.{segment(json.dumps(forger.claims()))}.AA",
        "longer than 16 KiB": forger.token(rsa(), note="x" * 16_384),
    }


def _of_our_own(forger: Forger) -> Mapping[str, str]:
    """Attacks on what the gateway's own tokens stand for."""
    return {
        "a credential as a key": KEY_PREFIX + mint(forger.keyring.signer, CREDENTIAL_TYPE, forger.own),
        "a key as a credential": mint(forger.keyring.signer, KEY_TYPE, forger.own),
        "a key of another gateway": KEY_PREFIX + mint(OTHER_GATEWAY.signer, KEY_TYPE, forger.own),
        "a credential of another gateway": mint(OTHER_GATEWAY.signer, CREDENTIAL_TYPE, forger.own),
        "our kid, another issuer": KEY_PREFIX
        + mint(forger.keyring.signer, KEY_TYPE, {**forger.own, "iss": "isthmus:other"}),
        "our kid, another audience": KEY_PREFIX
        + mint(forger.keyring.signer, KEY_TYPE, {**forger.own, "aud": "isthmus:other"}),
        "our issuer, a provider's key": forger.token(rsa(), iss=forger.gateway, aud=forger.gateway),
        "a provider's token as a key": KEY_PREFIX + forger.token(rsa()),
        "a key in quotes": f'"{KEY_PREFIX}{mint(forger.keyring.signer, KEY_TYPE, forger.own)}"',
        "a key in capitals": KEY_PREFIX.upper() + mint(forger.keyring.signer, KEY_TYPE, forger.own),
        "a key, cut": KEY_PREFIX + mint(forger.keyring.signer, KEY_TYPE, forger.own)[:-1],
        "only the prefix": KEY_PREFIX,
        "a credential without end": mint(
            forger.keyring.signer, CREDENTIAL_TYPE, {k: v for k, v in forger.own.items() if k != "exp"}
        ),
    }


FORGER = Forger()
OWN = FORGER.own
ATTACKS = FORGER.attacks()
