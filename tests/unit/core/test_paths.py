"""Which paths Forward carries: none that leaves the provider's base URL, none that the gateway answers itself."""

from __future__ import annotations

import pytest
from isthmusd.core.errors import InvalidRequest, MethodNotAllowed, NotFound
from isthmusd.core.paths import OWNED, forward_path, is_tenant_path, tenant_path


@pytest.mark.parametrize(
    ("raw", "path", "query"),
    [
        ("/v1/files", "files", ""),
        ("/v1/proxy/files", "files", ""),
        ("/v1/files?limit=2&after=a%2Fb", "files", "?limit=2&after=a%2Fb"),
        ("/v1/files?", "files", "?"),
        ("/v1/files/a%20b%C3%A9", "files/a%20b%C3%A9", ""),
        ("/v1/files/a..b", "files/a..b", ""),
        ("/v1/files/...", "files/...", ""),
        ("/v1/files/x?path=../../etc", "files/x", "?path=../../etc"),
        ("/v1/files/50%25", "files/50%25", ""),
        ("/v1/threads/t_1/runs/", "threads/t_1/runs/", ""),
        ("/v1/chat/completions/id_1", "chat/completions/id_1", ""),
    ],
)
def test_paths_keep_their_encoding_below_the_prefix(raw: str, path: str, query: str) -> None:
    assert forward_path("GET", raw, served_here=True) == (path, query)


@pytest.mark.parametrize("raw", ["/v2/files", "/", "", "/v1", "//v1/files", "http://h/v1/files", "/V1/files"])
def test_paths_outside_the_prefix_do_not_exist(raw: str) -> None:
    with pytest.raises(NotFound):
        forward_path("GET", raw, served_here=True)


@pytest.mark.parametrize(
    "rest",
    [
        "../admin",
        "files/..",
        "files/../admin",
        "./files",
        "%2e%2e/admin",
        "%2E./admin",
        ".%2e/admin",
        "files/%2e%2e%2fadmin",
        "files%2f..%2fadmin",
        "files/%2e",
        "/evil.example/files",
        "files//x",
        "files%2f%2fx",
        "%2f%2fevil.example",
        "%2ffiles",
        "files\\..\\admin",
        "files%5cadmin",
        "files/%5C%2e%2e",
        "files%00",
        "files%0d%0ahost:x",
        "files%7f",
        "files%23x",
        "files#x",
        "files?a=1#x",
        "files/..;/admin",
        "files/%2e%2e%3bx/admin",
        "files/%c0%ae%c0%ae/x",
        "files/..%c0%af..",
        "files/%e0%80%ae%E0%80%AE/x",
        "files/%f0%80%80%ae",
        "files/%u002e%u002E/x",
    ],
)
@pytest.mark.parametrize("prefix", ["/v1/", "/v1/proxy/"])
def test_paths_that_could_leave_the_base_url_are_refused(prefix: str, rest: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        forward_path("GET", prefix + rest, served_here=True)

    assert refused.value.code == "invalid_path"


@pytest.mark.parametrize(
    "rest",
    ["%252e%252e/admin", "files/%252E%252e", "a/.%252e/b", "a/%252e./b", "a%252fb", "a%252Fb", "a%255cb", "a%255Cb"],
)
def test_paths_encoded_twice_are_refused(rest: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        forward_path("GET", f"/v1/{rest}", served_here=True)

    assert refused.value.code == "invalid_path"


@pytest.mark.parametrize("path", OWNED)
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
def test_other_methods_on_owned_paths_are_not_allowed(method: str, path: str) -> None:
    with pytest.raises(MethodNotAllowed) as refused:
        forward_path(method, f"/v1/{path}", served_here=True)

    assert " or ".join(sorted(OWNED[path])) in refused.value.message


@pytest.mark.parametrize("rest", ["chat%2Fcompletions", "%63hat/completions", "chat/completions/", "%65mbeddings"])
def test_owned_paths_in_disguise_do_not_exist(rest: str) -> None:
    with pytest.raises(NotFound):
        forward_path("POST", f"/v1/{rest}", served_here=True)


def test_stored_chat_completions_are_the_providers() -> None:
    assert forward_path("GET", "/v1/chat/completions", served_here=True).path == "chat/completions"

    with pytest.raises(MethodNotAllowed):
        forward_path("GET", "/v1/chat%2Fcompletions", served_here=True)


@pytest.mark.parametrize("rest", ["credentials/abc", "credentials%2Fabc", "proxy/credentials/a/b"])
@pytest.mark.parametrize("served_here", [True, False])
def test_nothing_below_credentials_reaches_a_provider(rest: str, served_here: bool) -> None:
    with pytest.raises(NotFound):
        forward_path("DELETE", f"/v1/{rest}", served_here=served_here)


def test_a_model_of_ones_own_is_deleted_at_the_provider() -> None:
    assert forward_path("DELETE", "/v1/models/ft:x", served_here=True).path == "models/ft:x"

    for method in ("PUT", "POST", "PATCH"):
        with pytest.raises(MethodNotAllowed):
            forward_path(method, "/v1/models/ft:x", served_here=True)


@pytest.mark.parametrize("path", ["chat/completions", "completions", "embeddings", "responses", "moderations"])
def test_typed_forward_carries_what_providers_serve_too(path: str) -> None:
    assert forward_path("POST", f"/v1/{path}", served_here=False).path == path


@pytest.mark.parametrize(("method", "path"), [("POST", "auto"), ("POST", "credentials"), ("GET", "models")])
def test_typed_forward_does_not_carry_what_only_the_gateway_serves(method: str, path: str) -> None:
    with pytest.raises(NotFound):
        forward_path(method, f"/v1/{path}", served_here=False)


def test_typed_forward_keeps_to_the_methods_of_owned_paths() -> None:
    with pytest.raises(MethodNotAllowed):
        forward_path("DELETE", "/v1/embeddings", served_here=False)


@pytest.mark.parametrize(
    ("raw", "path", "query"),
    [
        ("/api/openai", "v1/responses", ""),
        ("/api/openai/", "v1/responses", ""),
        ("/api/openai?stream=1", "v1/responses", "?stream=1"),
        ("/api/openai/?a=%2Fb", "v1/responses", "?a=%2Fb"),
        ("/api/openai/v1/chat/completions", "v1/chat/completions", ""),
        (
            "/api/openai/v1/files/a%20b%C3%A9/content?x=..//y&z=%2e%2e",
            "v1/files/a%20b%C3%A9/content",
            "?x=..//y&z=%2e%2e",
        ),
        ("/api/openai/v1/credentials", "v1/credentials", ""),
        ("/api/openai/v2/anything/", "v2/anything/", ""),
        ("/api/openai/v1/files/x?", "v1/files/x", "?"),
    ],
)
def test_tenants_paths_keep_their_encoding_and_an_empty_one_means_responses(raw: str, path: str, query: str) -> None:
    assert is_tenant_path(raw)
    assert tenant_path(raw) == (path, query)


@pytest.mark.parametrize(
    "rest",
    ["../admin", "v1/..", "v1/%2e%2e/x", "v1/.%2E/x", "./v1", "/evil.example/v1", "%2f%2fevil.example", "v1//x",
     "v1\\..\\x", "v1%5cx", "v1%00", "v1%0d%0ahost:x", "v1/..;/x", "v1/%252e%252e/x", "v1%252fx", "v1#x", "v1?a#x",
     "v1%23x", "https://evil.example/x", "%c0%ae%c0%ae/x", "v1%c0%afx", "%u002e%u002e/x"],
)  # fmt: skip
def test_r6_tenants_paths_that_could_leave_the_host_are_refused(rest: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        tenant_path(f"/api/openai/{rest}")

    assert refused.value.code == "invalid_path"


@pytest.mark.parametrize(
    "raw", ["/api/openaix/v1", "/api/openai%2fv1", "/v1/files", "", "/api/OpenAI/v1", "//api/openai/"]
)
def test_other_paths_are_not_tenants(raw: str) -> None:
    assert not is_tenant_path(raw)
    with pytest.raises(NotFound):
        tenant_path(raw)
