"""The receiving side of AWS: recomputes a signature from the bytes that arrived, written from AWS's description and not
with the library that signs, and speaks for its token service. It serves nothing itself: `FakeProvider` does.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from tests.fakes.answers import Answer, whole
from tests.fakes.received import Received

AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<day>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, "
    r"SignedHeaders=(?P<names>[^,]+), Signature=(?P<signature>[0-9a-f]{64})"
)


def signed_by(received: Received, secrets: dict[str, str]) -> str | None:
    """Give the id of the key that signed a request; None if it is not signed, or not as it arrived."""
    claimed = AUTHORIZATION.fullmatch(received.header("authorization") or "")
    if claimed is None or claimed["key"] not in secrets:
        return None
    names = claimed["names"].split(";")
    must = {"host", *(key.lower() for key, _ in received.headers if key.lower().startswith("x-amz-"))}
    if not must <= set(names) or names != sorted(names):
        return None
    scope = f"{claimed['day']}/{claimed['region']}/{claimed['service']}/aws4_request"
    hashed = hashlib.sha256(_canonical(received, names).encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{received.header('x-amz-date')}\n{scope}\n{hashed}"
    secret = ("AWS4" + secrets[claimed["key"]]).encode()
    for part in scope.split("/"):
        secret = hmac.digest(secret, part.encode(), "sha256")
    expected = hmac.new(secret, to_sign.encode(), "sha256").hexdigest()
    return claimed["key"] if hmac.compare_digest(expected, claimed["signature"]) else None


def _canonical(received: Received, names: list[str]) -> str:
    path, _, query = received.path.partition("?")
    values = {key.lower(): " ".join(value.split()) for key, value in received.headers}
    return "\n".join(
        (
            received.method,
            # Already encoded once on the wire; all services but S3 encode it again.
            quote(path, safe="/-_.~"),
            "&".join(sorted(query.split("&"))) if query else "",
            *(f"{name}:{values[name]}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(received.body).hexdigest(),
        )
    )


def assumed_role(key: str, secret: str, *, good_for_s: float = 3600) -> Answer:
    """What the token service answers to AssumeRole."""
    end = datetime.now(UTC) + timedelta(seconds=good_for_s)
    text = f"""<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
        <AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>
        <SessionToken>token-of-{key}</SessionToken><Expiration>{end:%Y-%m-%dT%H:%M:%SZ}</Expiration>
        </Credentials><AssumedRoleUser><AssumedRoleId>i:isthmus</AssumedRoleId><Arn>arn:aws:sts::1:x</Arn>
        </AssumedRoleUser></AssumeRoleResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>
        </AssumeRoleResponse>"""
    return whole(text.encode(), headers=(("content-type", "text/xml"),))


def denied() -> Answer:
    """What it answers to who may not."""
    text = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
        <Code>AccessDenied</Code><Message>not authorized to perform sts:AssumeRole</Message></Error>
        <RequestId>r</RequestId></ErrorResponse>"""
    return whole(text.encode(), status=403, headers=(("content-type", "text/xml"),))
