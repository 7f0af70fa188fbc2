"""Tokens that must open nothing, by the name of the attack. The provider publishes `rsa-1` and `ec-1`; the attacker has
keys of his own, every public key, and a good token of somebody else.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from isthmusd.core.keyring import Keyring
from isthmusd.core.tokens import CREDENTIAL_TYPE, KEY_PREFIX, KEY_TYPE, mint

from tests.fakes import jose
from tests.fakes.callers import ISSUER, KEYRING
from tests.fakes.jose import NOW, claims, ec, rsa, segment, signed, token

ATTACKER = rsa("attacker")
OTHER_GATEWAY = Keyring.parse("another-secret-of-tests-9876543210-zyxwvutsrqp")
OWN = {"iss": ISSUER, "aud": ISSUER, "jti": "k-1", "tenant": "acme", "iat": NOW, "exp": NOW + 600}
"""The directory knows both a key and a credential of this name, so that the token alone is what is refused."""
PEM = rsa().public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)  # pyright: ignore[reportUnknownMemberType] joserfc says too little


def hmac_signed(secret: bytes, algorithm: str = "HS256") -> str:
    """Sign with what everybody knows."""
    text = f"{segment(json.dumps({'alg': algorithm, 'kid': 'rsa-1', 'typ': 'JWT'}))}.{segment(json.dumps(claims()))}"
    return f"{text}.{segment(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


def unsigned(algorithm: str, signature: str = "") -> str:
    return f"{segment(json.dumps({'alg': algorithm, 'kid': 'rsa-1'}))}.{segment(json.dumps(claims()))}.{signature}"


def doctored(change: Callable[[str, str, str], str]) -> str:
    """Change a good token."""
    head, body, signature = token(rsa()).split(".")
    return change(head, body, signature)


def doubled(first: Mapping[str, object], last: Mapping[str, object]) -> str:
    """Sign a payload in which claims stand twice."""
    header = json.dumps({"alg": "RS256", "kid": "rsa-1"})
    return signed(rsa(), "RS256", header, json.dumps(claims(**first))[:-1] + "," + json.dumps(last)[1:])


NO_TIMES = (
    *("true", "null", '"9999999999"', "[9999999999]", "1e300", "1e999", "9" * 400, "NaN", "Infinity", "-1"),
    f"{NOW + 60}000",
)
"""As JSON; the last is in milliseconds."""
HEAD = json.dumps({"alg": "RS256", "kid": "rsa-1"})
ATTACKS: Mapping[str, str] = {
    **{f"alg {name}": unsigned(name, "AA") for name in ("none", "None", "NONE", "nOnE", "none ", "")},
    **{f"alg {name} without signature": unsigned(name) for name in ("none", "None", "NONE", "RS256")},
    "no alg": token(rsa(), header={"alg": None}),
    "alg is a list": token(rsa(), header={"alg": ["RS256"]}),
    "alg is null": signed(rsa(), "RS256", '{"alg":null,"kid":"rsa-1"}', json.dumps(claims())),
    "alg in other letters": token(rsa(), header={"alg": "rs256"}),
    "another asymmetric alg of the same key": token(rsa(), "PS256"),
    "a longer hash of the same key": token(rsa(), "RS512"),
    "HMAC by the PEM of the public key": hmac_signed(PEM),
    "HMAC by the PEM without its last line end": hmac_signed(PEM.rstrip()),
    "HMAC by the JWK": hmac_signed(json.dumps(jose.public(rsa())).encode()),
    "HMAC by the modulus": hmac_signed(base64.urlsafe_b64decode(jose.public(rsa())["n"] + "==")),
    "HMAC by nothing": hmac_signed(b""),
    "HMAC that says RS256": hmac_signed(PEM, "RS256"),
    "RS256 with the name of an EC key": token(rsa(), header={"kid": "ec-1"}),
    "EC signature that says RS256": signed(ec(), "ES256", HEAD, json.dumps(claims())),
    "an alg that is not this issuer's": token(ec(), "ES256"),
    "a key of another issuer": token(rsa("elsewhere-1")),
    "the attacker's key under a published name": token(ATTACKER, header={"kid": "rsa-1"}),
    "kid that is a path": token(ATTACKER, header={"kid": "../../../../dev/null"}),
    "kid that is SQL": token(ATTACKER, header={"kid": "x' UNION SELECT 'key"}),
    "kid with NUL": token(rsa(), header={"kid": "rsa-1\x00"}),
    "kid that is a number": token(rsa(), header={"kid": 1}),
    "kid that is a list": token(rsa(), header={"kid": ["rsa-1"]}),
    "empty kid": token(rsa(), header={"kid": ""}),
    "no kid": token(rsa(), header={"kid": None}),
    "jwk in the header": token(ATTACKER, header={"kid": "rsa-1", "jwk": jose.public(ATTACKER, kid="rsa-1")}),
    "jku in the header": token(ATTACKER, header={"jku": "https://attacker.example/jwks"}),
    "x5u and x5c in the header": token(ATTACKER, header={"x5u": "https://attacker.example/", "x5c": ["MIIB"]}),
    "crit": token(rsa(), header={"crit": ["exp"], "exp": NOW}),
    "empty crit": token(rsa(), header={"crit": []}),
    "unencoded payload": token(rsa(), header={"b64": False, "crit": ["b64"]}),
    "unencoded payload without crit": token(rsa(), header={"b64": False}),
    "a token to log somebody out": token(rsa(), header={"typ": "logout+jwt"}),
    "expired": token(rsa(), exp=NOW - 31),
    "expired long ago": token(rsa(), exp=0),
    **{
        f"exp {value[:20]}": signed(rsa(), "RS256", HEAD, json.dumps(claims(exp=None))[:-1] + f', "exp": {value}}}')
        for value in NO_TIMES
    },
    "no exp": token(rsa(), exp=None),
    "no iat": token(rsa(), iat=None),
    "iat in the future": token(rsa(), iat=NOW + 31),
    "iat true": token(rsa(), iat=True),
    "not yet": token(rsa(), nbf=NOW + 31),
    "nbf is text": token(rsa(), nbf="0"),
    "another audience": token(rsa(), aud="other-app"),
    "no audience": token(rsa(), aud=None),
    "a list of other audiences": token(rsa(), aud=["other-app", 5, None, ["my-app"]]),
    "audience is a map": token(rsa(), aud={"my-app": "my-app"}),
    "part of the audience": token(rsa(), aud="my-app,other"),
    "another issuer": token(rsa(), iss="https://id.example/"),
    "issuer in other letters": token(rsa(), iss="https://ID.example"),
    "issuer that looks the same": token(rsa(), iss="https://id.ex\u0430mple"),
    "issuer is a list": token(rsa(), iss=[jose.ISSUER]),
    "no issuer": token(rsa(), iss=None),
    "empty sub": token(rsa(), sub=""),
    "no sub": token(rsa(), sub=None),
    "sub is a number": token(rsa(), sub=7),
    "sub of 256 characters": token(rsa(), sub="x" * 256),
    "sub with NUL": token(rsa(), sub="alice\x00"),
    "sub is half a surrogate pair": token(rsa(), sub="\ud800"),
    "sub twice": doubled({}, {"sub": "root"}),
    "issuer twice": doubled({"iss": "https://attacker.example"}, {"iss": jose.ISSUER}),
    "nested JWT": signed(rsa(), "RS256", json.dumps({"alg": "RS256", "kid": "rsa-1", "cty": "JWT"}), token(rsa())),
    "JWE": f"{segment(json.dumps({'alg': 'RSA-OAEP', 'enc': 'A256GCM', 'kid': 'rsa-1'}))}.AA.AA.AA.AA",
    "payload is a list": signed(rsa(), "RS256", HEAD, json.dumps([claims()])),
    "payload is text": signed(rsa(), "RS256", HEAD, json.dumps(jose.ISSUER)),
    "header is a list": signed(rsa(), "RS256", json.dumps([HEAD]), json.dumps(claims())),
    "deep payload": signed(rsa(), "RS256", HEAD, "[" * 9000),
    "deep claim": signed(rsa(), "RS256", HEAD, json.dumps(claims())[:-1] + ',"x":' + "[" * 3000 + "]" * 3000 + "}"),
    "deep header": signed(rsa(), "RS256", '{"alg":' + "[" * 3000 + "]" * 3000 + "}", json.dumps(claims())),
    "payload is no UTF-8": signed(rsa(), "RS256", HEAD, b'{"iss":"\xff"}'),
    "signature stripped": doctored(lambda head, body, _: f"{head}.{body}."),
    "signature and its dot stripped": doctored(lambda head, body, _: f"{head}.{body}"),
    "signature cut": doctored(lambda head, body, signature: f"{head}.{body}.{signature[:-4]}"),
    "signature of zeros": doctored(lambda head, body, signature: f"{head}.{body}.{'A' * len(signature)}"),
    "signature with padding": doctored(lambda head, body, signature: f"{head}.{body}.{signature}=="),
    "header with padding": doctored(lambda head, body, signature: f"{head}=.{body}.{signature}"),
    "other bits behind the signature": doctored(
        lambda head, body, signature: f"{head}.{body}.{signature[:-1]}{chr(ord(signature[-1]) + 1)}"
    ),
    "payload exchanged": doctored(lambda head, _, sign: f"{head}.{segment(json.dumps(claims(sub='root')))}.{sign}"),
    "white space in a part": doctored(lambda head, body, signature: f"{head}\n.{body}.{signature}"),
    "quoted": doctored(lambda head, body, signature: f'"{head}.{body}.{signature}"'),
    "one more part": doctored(lambda head, body, signature: f"{head}.{body}.{signature}.AA"),
    "two tokens in one": doctored(lambda head, body, signature: f"{head}.{body}.{signature}" * 2),
    "header that begins with a space": f"{segment(' ' + HEAD)}.{segment(json.dumps(claims()))}.AA",
    "longer than 16 KiB": token(rsa(), note="x" * 16_384),
    "a credential as a key": KEY_PREFIX + mint(KEYRING.signer, CREDENTIAL_TYPE, OWN),
    "a key as a credential": mint(KEYRING.signer, KEY_TYPE, OWN),
    "a key of another gateway": KEY_PREFIX + mint(OTHER_GATEWAY.signer, KEY_TYPE, OWN),
    "a credential of another gateway": mint(OTHER_GATEWAY.signer, CREDENTIAL_TYPE, OWN),
    "our kid, another issuer": KEY_PREFIX + mint(KEYRING.signer, KEY_TYPE, {**OWN, "iss": "isthmus:other"}),
    "our kid, another audience": KEY_PREFIX + mint(KEYRING.signer, KEY_TYPE, {**OWN, "aud": "isthmus:other"}),
    "our issuer, a provider's key": token(rsa(), iss=ISSUER, aud=ISSUER),
    "a provider's token as a key": KEY_PREFIX + token(rsa()),
    "a key in quotes": f'"{KEY_PREFIX}{mint(KEYRING.signer, KEY_TYPE, OWN)}"',
    "a key in capitals": KEY_PREFIX.upper() + mint(KEYRING.signer, KEY_TYPE, OWN),
    "a key, cut": KEY_PREFIX + mint(KEYRING.signer, KEY_TYPE, OWN)[:-1],
    "only the prefix": KEY_PREFIX,
    "a credential without end": mint(KEYRING.signer, CREDENTIAL_TYPE, {k: v for k, v in OWN.items() if k != "exp"}),
}
