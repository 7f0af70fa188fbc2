"""Forward over both protocols: whose account it may see into, which models bound callers may name, where secrets go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from isthmus.v1 import forward_pb2, forward_pb2_grpc
from isthmusd.core.tenants import ForwardGrant

from tests.fakes.answers import whole
from tests.fakes.provider import FakeProvider
from tests.system.background import in_background
from tests.system.callers import Office
from tests.system.pair import OUR_KEY, Pair, running_pair
from tests.system.typed import failure_of
from tests.system.wire import JSON_TYPE, Headers, Response, ask

pytestmark = pytest.mark.edge
TEXT: Headers = (("content-type", "text/plain"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """One gateway, keys that differ in what Forward may do, and a host that is none of its providers."""

    pair: Pair
    elsewhere: FakeProvider
    tokens: dict[str, str]

    async def ask(self, who: str, path: str, body: bytes = b"", headers: Headers = TEXT) -> Response:
        bearer = ("authorization", f"Bearer {self.tokens[who]}")
        return await ask(self.pair.url, path, body, headers=(*headers, bearer))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keys]:
    data: Path = tmp_path_factory.mktemp("grants")
    with Office(data) as office, in_background(FakeProvider()) as elsewhere:
        office.tenant("rich", forward=ForwardGrant.SHARED)
        office.provider_key("rich", "openai", "sk-richs-own")
        office.tenant("poor", forward=ForwardGrant.SHARED)
        tokens = {
            f"{tenant} {grant}": office.key(tenant, forward=grant).token
            for tenant in ("rich", "poor")
            for grant in ForwardGrant
        }
        tokens["bound"] = office.key("poor", models={"ok", "box/tiny"}, forward=ForwardGrant.SHARED).token
        boxes = {"box": {"dialect": "openai", "api_key": "box-key", "models": ["tiny"]}}
        with running_pair(data=str(data), providers=boxes) as pair:
            yield Keys(pair=pair, elsewhere=elsewhere, tokens=tokens)


@pytest.mark.parametrize(
    ("who", "body", "paid"),
    [
        ("rich none", b"", None),
        ("poor none", b"", None),
        ("rich own", b"", "sk-richs-own"),
        ("rich own", b'{"model":"ok"}', "sk-richs-own"),
        ("rich own", b'{"model":"box/tiny"}', None),
        ("poor own", b"", None),
        ("poor own", b'{"model":"box/tiny"}', None),
        ("rich shared", b"", "sk-richs-own"),
        ("rich shared", b'{"model":"box/tiny"}', "box-key"),
        ("poor shared", b"", OUR_KEY),
    ],
)
async def test_a_grant_says_whose_account_is_open(keys: Keys, who: str, body: bytes, paid: str | None) -> None:
    count = len(keys.pair.provider.requests)

    answer = await keys.ask(who, "/v1/batches", body, JSON_TYPE if body else TEXT)

    if paid is None:
        assert (answer.status, answer.error["code"]) == (403, "forward_not_allowed")
        assert len(keys.pair.provider.requests) == count
    else:
        assert answer.status == 200
        assert keys.pair.provider.last.header("authorization") == f"Bearer {paid}"


@pytest.mark.parametrize("who", ["rich none", "poor own"])
def test_a_grant_holds_over_grpc(keys: Keys, who: str) -> None:
    head = forward_pb2.ForwardRequestHead(method="GET", path="/v1/files")
    metadata = (("authorization", f"Bearer {keys.tokens[who]}"),)

    with keys.pair.channel() as channel:
        call = forward_pb2_grpc.ForwardServiceStub(channel).Forward
        pieces = iter([forward_pb2.ForwardRequest(head=head)])
        failure = failure_of(lambda: list(call(pieces, metadata=metadata, timeout=30)))

    assert failure.grpc == grpc.StatusCode.PERMISSION_DENIED.name


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b'{"model":"ok"}', JSON_TYPE, 200),
        (b'{"model":"tiny"}', JSON_TYPE, 403),
        (b'{"x":1}', JSON_TYPE, 403),
        (b"", TEXT, 403),
        (b'{"model":"ok"}', TEXT, 403),
        (b'{"model":"ok"}', (*JSON_TYPE, ("content-encoding", "gzip")), 403),
        (b'{"model":"ok","model":"tiny"}', JSON_TYPE, 400),
        (b'{"model":"ok","MODEL":"tiny"}', JSON_TYPE, 400),
        (b'{"model":"ok","x":"' + b"x" * 2**21 + b'","model":"tiny"}', JSON_TYPE, 403),
        (b'{"model":"ok"', JSON_TYPE, 400),
    ],
)
async def test_a_bound_key_names_its_models_only(keys: Keys, body: bytes, headers: Headers, status: int) -> None:
    count = len(keys.pair.provider.requests)

    answer = await keys.ask("bound", "/v1/x?limit=2", body, headers)

    assert answer.status == status, answer
    assert len(keys.pair.provider.requests) == count + (status == 200)


async def test_r8_a_secret_goes_to_the_configured_origin_only(keys: Keys) -> None:
    target = f"127.0.0.1:{keys.elsewhere.port}"
    keys.pair.provider.reply_with(whole(b"", 302, (("location", f"http://{target}/v1/files"),)))
    moved = await keys.ask("rich shared", "/v1/files")

    hosts = (
        "x-forwarded-host",
        "x-original-host",
        "x-host",
        "x-envoy-original-dst-host",
        "forwarded",
        "x-original-url",
    )
    named = [(name, target) for name in hosts]
    routed = await keys.ask("rich shared", f"/v1/@{target}/files?url=http://{target}/", b"", (*TEXT, *named))
    typed = await keys.ask("rich shared", "/v1/files", b"", (*TEXT, ("host", target)))

    assert moved.status == 302
    assert "location" not in moved.headers
    assert routed.status == 200
    assert not {name.lower() for name, _ in keys.pair.provider.last.headers} & set(hosts)
    assert keys.pair.provider.last.header("host") == f"127.0.0.1:{keys.pair.provider.port}"
    assert typed.status in {200, 403}
    assert keys.elsewhere.connection_count == 0
