"""Paths, model names, parameters and redirects that want a call to go elsewhere: another route, another host, another
file. Nothing of a caller's chooses where a secret goes."""

from __future__ import annotations

import urllib.parse

import grpc
import msgspec
import pytest
from isthmus.v1 import forward_pb2

from tests.fakes.answers import whole
from tests.system.attacks.site import ACMES, Site, bearer, over_grpc, over_http, told
from tests.system.typed import chat_request
from tests.system.wire import JSON_TYPE, Response, ask, chat

pytestmark = pytest.mark.edge
TRAVERSALS = (
    *("..", ".", "../x", "a/../../x", "%2e%2e/x", "..%2fx", "%2e%2e%2fx", ".%2e/x", "%252e%252e/x", "..%252fx"),
    *("..;/x", "..;a=b/x", "%2e%2e;/x", "..\\x", "..%5cx", "%5c%5cevil.example", "//evil.example/x", "a//b"),
    *("%c0%ae%c0%ae/x", "..%c0%afx", "%e0%80%ae%e0%80%ae/x", "%u002e%u002e/x", "a%00", "a%0d%0ax:y", "a%0a", "a%7f"),
    *("a%23b", "https://evil.example/", "%2f%2fevil.example", "./x", "x/.", "x/.."),
)
BELOW = ("/v1/", "/v1/proxy/", "/api/openai/", "/v1/files/")


async def asked(site: Site, path: str, method: str = "GET", body: bytes = b"") -> Response:
    return await ask(site.url, path, body, method=method, headers=(*JSON_TYPE, *bearer(site.acme)))


@pytest.mark.parametrize("below", BELOW)
async def test_r6_no_path_leaves_its_base(site: Site, below: str) -> None:
    start = site.count

    answers = {path: await asked(site, below + path, method) for path in TRAVERSALS for method in ("GET", "POST")}

    assert {path: answer for path, answer in answers.items() if answer.status != 400} == {}
    assert site.count == start


async def test_no_path_of_a_model_reaches_anybody(site: Site) -> None:
    start = site.count

    answers = {path: await asked(site, f"/v1/models/{path}") for path in TRAVERSALS}

    assert {path: answer for path, answer in answers.items() if answer.status not in {400, 404}} == {}
    assert site.count == start


def test_r6_no_typed_path_leaves_its_base(site: Site, attacked_channel: grpc.Channel) -> None:
    start, codes = site.count, dict[str, grpc.StatusCode]()
    for path in (*TRAVERSALS, "a#b", "a\r\nhost: evil.example", "a\x00", "a b", "é"):
        head = forward_pb2.ForwardRequestHead(method="GET", path=f"/v1/{path}")
        request = forward_pb2.ForwardRequest(head=head).SerializeToString()
        codes[path] = told(attacked_channel, "/isthmus.v1.ForwardService/Forward", request, bearer(site.acme)).code

    assert {path: code for path, code in codes.items() if code is not grpc.StatusCode.INVALID_ARGUMENT} == {}
    assert site.count == start


ELSEWHERE = (
    *("/V1/files", "/API/openai/v1/files", "/Api/Openai/x", "/v1;x/files", "/v1%2ffiles", "/%761/files", "/v2/files"),
    *("/api/openaiv1", "/api/openai%2fv1", "/api/anthropic/v1/messages", "/healthz/../v1/files", "/.well-known/"),
    *("/isthmus.v1.OpenAIService/Forward", "/isthmus.v1.OpenAIService/Keys", "/isthmus.v1.TokenVerifier/VerifyToken"),
    *("/isthmus.v1.AdminService/ListTenants", "/ISTHMUS.v1.AdminService/ListTenants"),
    *("/grpc.channelz.v1.Channelz/GetServers", "/metrics", "/stats", "/config_dump", "/quitquitquit", "/certs"),
    *("/v1/credentials/x", "/v1/proxy/credentials/x/y", "/v1/credentials%2fx", "/v1/credentials/x?a=b"),
)


@pytest.mark.parametrize("token", ["acme", "admin"])
async def test_what_looks_like_a_route_is_none(site: Site, token: str) -> None:
    headers, start = (*JSON_TYPE, *bearer(getattr(site, token))), site.count

    answers = {
        f"{method} {path}": await ask(site.url, path, b"", method=method, headers=headers)
        for path in ELSEWHERE
        for method in ("GET", "POST", "DELETE")
    }

    assert {path: answer for path, answer in answers.items() if answer.status not in {403, 404, 405}} == {}
    assert site.count == start


@pytest.mark.parametrize(
    "method",
    ["OpenAIService/Forward", "OpenAIService/ChatCompletions", "OpenAIService/Keys", "AdminService/ListTenants",
     "AdminService/CreateKey", "TokenVerifier/VerifyToken", "OpenAIService/../ChatService/CreateChatCompletion"],
)  # fmt: skip
@pytest.mark.parametrize("token", ["acme", "admin"])
def test_r3_the_public_port_has_no_other_services(
    site: Site, attacked_channel: grpc.Channel, method: str, token: str
) -> None:
    spoofed = (("x-envoy-original-path", "/v1/chat/completions"), ("x-envoy-original-method", "POST"))

    answer = told(attacked_channel, f"/isthmus.v1.{method}", b"", (*bearer(getattr(site, token)), *spoofed))

    assert answer.code in {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.NOT_FOUND}, answer


async def test_parameters_replace_nothing(site: Site) -> None:
    query = (
        "data=eyJtb2RlbCI6ImV2aWwifQ%3D%3D&content_type=text/evil&model=evil&messages=evil&stream=true&extensions.x=1"
    )
    start = len(site.provider.requests)

    answer = await asked(site, f"/v1/chat/completions?{query}", "POST", chat())

    (one,) = site.provider.requests[start:]
    assert (answer.status, one.path, one.json()["model"]) == (200, "/v1/chat/completions", "ok")
    assert (one.body, one.header("content-type")) == (chat(), "application/json")


NAMES = (
    *("..", ".", "../x", "a/../b", "a/..", "./a", "..\\x", "%2e%2e", "..%2fx", "%252e%252e/x", "..;a/b"),
    *("a\x00b", "a\r\nhost: evil.example", "\t", "a%0d%0ab", "a\x7f", "m" * 3000),
)
ODD_BUT_HARMLESS = ("x?a=b", "x#y", "x/y", "@evil.example", "x:y", "a b", "x%y", "{x}", "http://evil.example/v1")
HOSTED = ("bedrock", "google", "azure")
"""They have the model in the path of a call."""


@pytest.mark.parametrize("provider", [*HOSTED, "openai"])
def test_r6_no_name_of_a_model_moves_a_call(site: Site, attacked_channel: grpc.Channel, provider: str) -> None:
    start, codes = site.count, dict[str, grpc.StatusCode]()
    for name in NAMES:
        request = chat_request(f"{provider}/{name}").SerializeToString()
        method = "/isthmus.v1.ChatService/CreateChatCompletion"
        codes[name] = told(attacked_channel, method, request, bearer(site.acme)).code

    assert {name: code for name, code in codes.items() if code is not grpc.StatusCode.NOT_FOUND} == {}
    assert site.count == start


@pytest.mark.parametrize("provider", HOSTED)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings", "/v1/auto", "/v1/rerank"])
async def test_r6_no_name_of_a_model_moves_a_call_over_http(site: Site, provider: str, path: str) -> None:
    start = site.count
    body = {"messages": [{"role": "user", "content": "x"}]} if path != "/v1/embeddings" else {"input": "x"}

    answers = {
        name: await asked(site, path, "POST", msgspec.json.encode({"model": f"{provider}/{name}", **body}))
        for name in NAMES
    }

    assert {name: answer for name, answer in answers.items() if answer.status != 404} == {}
    assert site.count == start


@pytest.mark.parametrize("provider", HOSTED)
@pytest.mark.parametrize("name", ODD_BUT_HARMLESS)
async def test_r6_other_names_stay_one_segment_of_the_path(site: Site, provider: str, name: str) -> None:
    start = len(site.provider.requests)

    await asked(site, "/v1/chat/completions", "POST", chat(f"{provider}/{name}"))

    for one in site.provider.requests[start:]:
        path = one.path.partition("?")[0]
        assert one.header("host") == f"127.0.0.1:{site.provider.port}"
        assert name not in path or "/" not in name
        assert urllib.parse.unquote(path).startswith(("/v1/model", "/v1/chat/completions"))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("where", ["http://169.254.169.254/latest/meta-data/", "//evil.example/", "/v1/other", "HERE"])
async def test_r7_r8_redirects_of_a_provider_are_followed_by_nobody(
    site: Site, attacked_channel: grpc.Channel, status: int, where: str
) -> None:
    target = where.replace("HERE", site.elsewhere.url)
    moved = ("location", target), ("content-location", target), ("refresh", f"0;url={target}"), ("link", f"<{target}>")
    start, before = len(site.provider.requests), len(site.elsewhere.requests)
    site.provider.reply_always(whole(b'{"moved":true}', status, moved))

    answers = {
        surface: await over_http(site.url, surface, bearer(site.acme)) for surface in ("chat", "forward", "tenant")
    }
    typed = [over_grpc(attacked_channel, surface, bearer(site.acme)) for surface in ("chat", "stream", "forward")]

    assert (answers["chat"].status, answers["forward"].status, answers["tenant"].status) == (502, status, status)
    for answer in answers.values():
        assert not {"location", "content-location", "refresh", "link"} & answer.headers.keys()
        assert b"169.254" not in answer.body
    assert target not in repr(typed)
    assert len(site.provider.requests) == start + 6
    assert len(site.elsewhere.requests) == before


async def test_r6_r9_nothing_in_a_body_names_a_host(site: Site) -> None:
    start, before = len(site.provider.requests), len(site.elsewhere.requests)
    named = dict.fromkeys(
        ("base_url", "api_base", "endpoint", "url", "host", "proxy", "region", "api_key"), site.elsewhere.url
    )

    answers = [
        await asked(site, "/v1/chat/completions", "POST", chat(**named)),
        await asked(site, "/v1/files", "POST", msgspec.json.encode(named)),
        await asked(site, f"/v1/files?{urllib.parse.urlencode(named)}", "POST"),
        await asked(site, "/v1/chat/completions", "POST", chat("bedrock/x", **named)),
    ]

    assert [answer.status for answer in answers[:3]] == [200, 200, 200]
    assert site.payers(start) == {ACMES}
    assert len(site.elsewhere.requests) == before
