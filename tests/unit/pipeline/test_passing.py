"""Bytes pass to a host of the same format unless its messages must be written anew; what is left out is told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from isthmusd.core.call import Stamp
from isthmusd.core.errors import UnsupportedFeature
from isthmusd.core.profile import Profile, Provider
from isthmusd.core.request import Inbound, Operation
from isthmusd.core.routing import Target
from isthmusd.core.signing import AwsSigning
from isthmusd.dialects.registry import served
from isthmusd.pipeline.exchange import Exchange, exchange_for

STAMP = Stamp(id="abc", created_at=7)
ODD = b'{ "model":"m", "x" : 1.0, "messages":[{"role":"developer","content":"d","tag":1.0}] }'


def asked(body: bytes, profile: Profile) -> Exchange:
    peeked = served("openai", Operation.CHAT).peek(body)
    inbound = Inbound(operation=Operation.CHAT, dialect="openai", body=body, peeked=peeked)
    provider = Provider(name="host", base_url="https://host/v1", profile=profile)
    return exchange_for(inbound, Target(provider=provider, model="m", secret=None), STAMP)


def test_bytes_pass_to_a_host_that_takes_everything() -> None:
    exchange = asked(ODD, Profile())

    assert exchange.encoded[0].body is ODD
    assert exchange.losses == ()


def test_messages_that_a_host_refuses_are_written_anew() -> None:
    exchange = asked(ODD, Profile(accepts_developer_role=False))

    sent: dict[str, Any] = msgspec.json.decode(exchange.encoded[0].body)
    assert sent["messages"] == [{"role": "system", "content": "d", "tag": 1.0}]
    assert sent["x"] == 1.0
    assert exchange.losses == ()


def test_members_that_are_left_out_of_passing_bytes_are_losses() -> None:
    exchange = asked(ODD, Profile(refuses=frozenset({"x"})))

    assert exchange.encoded[0].body == ODD.replace(b' "x" : 1.0,', b"")
    assert [loss.field for loss in exchange.losses] == ["x"]


def test_a_rewritten_stream_is_translated_back() -> None:
    body = ODD.replace(b'"model":"m"', b'"model":"m","stream":true')
    exchange = asked(body, Profile(accepts_developer_role=False))
    relay = exchange.relay()

    told = relay.feed(
        b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\n'
        b"data: [DONE]\n\n"
    )

    assert exchange.streams
    assert told is not None
    assert b'"content":"hi"' in told
    assert told.endswith(b"data: [DONE]\n\n")


BEDROCK = Provider(
    name="b", base_url="http://b", dialect="bedrock", needs_key=False, signing=AwsSigning(region="eu-west-1")
)


@pytest.mark.parametrize("url", ["s3://private/cat.png", "gs://private/cat.png", "S3://private/cat.png"])
def test_nobody_reads_a_clouds_storage_with_the_gateways_rights(url: str) -> None:
    content = [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": url}}]
    body = msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": content}]})
    peeked = served("openai", Operation.CHAT).peek(body)
    inbound = Inbound(operation=Operation.CHAT, dialect="openai", body=body, peeked=peeked)
    stamp = Stamp(id="s", created_at=1)

    with pytest.raises(UnsupportedFeature, match="own rights") as refusal:
        exchange_for(inbound, Target(provider=BEDROCK, model="m"), stamp)
    with_callers_key = exchange_for(inbound, Target(provider=BEDROCK, model="m", callers_own_key=True), stamp)

    assert refusal.value.param == "messages[0].content[1]"
    assert with_callers_key is not None
