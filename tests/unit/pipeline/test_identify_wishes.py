"""What callers may wish for by headers, until when, and which web pages and host names are turned away."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import pytest
from isthmusd.core.call import CacheMode, CacheWish, Call
from isthmusd.core.errors import HeadersTooLarge, InvalidRequest, PermissionDenied
from isthmusd.core.headers import Headers
from isthmusd.pipeline.identify import HEADER_BYTES, is_loopback_host, request_id_of
from isthmusd.pipeline.options import PipelineOptions

from tests.unit.pipeline.world import START, FakeClock, arrival_of, headers_of, identified, identifier_of


def call_of(headers: Headers | None = None, options: PipelineOptions | None = None, **facts: Any) -> Call:
    clock = FakeClock(still_at=100.0)
    return identified(identifier_of(options or PipelineOptions(), clock), arrival_of(headers, **facts))


def test_a_call_without_wishes_has_the_defaults() -> None:
    call = call_of()

    assert (call.strict, call.endpoint, call.project, call.cache) == (False, None, None, CacheWish())
    assert call.deadline_at is None
    assert call.started_at == START


def test_headers_up_to_the_limit_pass() -> None:
    assert call_of(header_bytes=HEADER_BYTES).started_at == START

    with pytest.raises(HeadersTooLarge, match="65536 bytes"):
        call_of(header_bytes=HEADER_BYTES + 1)


@pytest.mark.parametrize(("text", "strict"), [("true", True), ("TRUE", True), ("false", False), ("False", False)])
def test_strict_is_a_switch(text: str, strict: bool) -> None:
    assert call_of(headers_of(x_isthmus_strict=text)).strict is strict


@pytest.mark.parametrize("text", ["", "1", "yes", "truely"])
def test_a_switch_takes_nothing_else(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        call_of(headers_of(x_isthmus_strict=text))

    assert refused.value.param == "x-isthmus-strict"


@pytest.mark.parametrize(
    ("ours", "theirs", "field", "value"),
    [
        ("x-isthmus-cache", "x-bt-use-cache", "cache.mode", "always"),
        ("x-isthmus-cache", "x-bt-use-cache", "cache.mode", "never"),
        ("x-isthmus-endpoint", "x-bt-endpoint-name", "endpoint", "main"),
    ],
)
def test_older_names_of_our_headers_work_and_ours_win(ours: str, theirs: str, field: str, value: str) -> None:
    of = attrgetter(field)
    assert of(call_of({ours: [value]})) == value
    assert of(call_of({theirs: [value]})) == value
    assert of(call_of({ours: [value], theirs: ["auto"]})) == value


@pytest.mark.parametrize("name", ["x-isthmus-cache-ttl", "x-bt-cache-ttl"])
@pytest.mark.parametrize(("text", "ttl_s"), [("1", 1), ("604800", 604800), ("0060", 60)])
def test_the_time_to_live_is_whole_seconds(name: str, text: str, ttl_s: int) -> None:
    assert call_of({name: [text]}).cache.ttl_s == ttl_s


@pytest.mark.parametrize("name", ["x-isthmus-cache-ttl", "x-bt-cache-ttl"])
@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "604801", "1e3", "９", "9" * 30, "0000604801", "six"])
def test_any_other_time_to_live_is_refused(name: str, text: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"{name}( \(x-isthmus-cache-ttl\))? must be whole seconds") as refused:
        call_of({name: [text]})

    assert refused.value.param == name


@pytest.mark.parametrize("text", ["ALWAYS", "Always", " always"])
def test_a_cache_mode_may_be_written_in_any_case(text: str) -> None:
    assert call_of(headers_of(x_isthmus_cache=text)).cache.mode is CacheMode.ALWAYS


@pytest.mark.parametrize("text", ["on", "sometimes", "auto,never"])
def test_an_unknown_cache_mode_names_the_three(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"x-bt-use-cache \(x-isthmus-cache\) must be 'auto', 'always' or 'never'"):
        call_of(headers_of(x_bt_use_cache=text))


@pytest.mark.parametrize(
    ("headers", "project"),
    [
        (headers_of(x_isthmus_project="p"), "p"),
        (headers_of(x_bt_parent="project_name:p"), "p"),
        (headers_of(x_isthmus_project="p", x_bt_parent="project_name:q"), "p"),
        (headers_of(x_bt_parent="project_id:123"), None),
        (headers_of(x_bt_parent="project_name:"), None),
    ],
)
def test_a_project_is_named_by_our_header_or_the_older_one(headers: Headers, project: str | None) -> None:
    assert call_of(headers).project == project


@pytest.mark.parametrize(
    ("text", "deadline_s", "deadline_at"),
    [("30", None, 130.0), ("0.5", None, 100.5), (None, 20.0, 120.0), ("30", 20.0, 120.0), ("10", 20.0, 110.0)],
)
def test_the_nearer_deadline_counts(text: str | None, deadline_s: float | None, deadline_at: float) -> None:
    headers = {} if text is None else headers_of(x_isthmus_timeout=text)

    assert call_of(headers, deadline_s=deadline_s).deadline_at == deadline_at


@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "1e10", "soon"])
def test_a_timeout_is_a_positive_number(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        call_of(headers_of(x_isthmus_timeout=text))

    assert refused.value.param == "x-isthmus-timeout"


def test_a_request_id_fit_for_logs_is_kept() -> None:
    assert call_of(headers_of(x_request_id="abc-1")).request_id == "abc-1"
    for given in ("x", "a b", "x" * 128):
        assert request_id_of(headers_of(x_request_id=given)) == given


@pytest.mark.parametrize("given", ["", "x" * 129, " a", "a ", "a\x7f", "é"])
def test_any_other_request_id_is_replaced(given: str) -> None:
    assert call_of(headers_of(x_request_id=given)).request_id == "req_stamp1"


def test_calls_without_a_request_id_get_one() -> None:
    assert call_of().request_id == "req_stamp1"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:3000"])
def test_web_pages_may_not_spend_the_users_keys(origin: str) -> None:
    with pytest.raises(PermissionDenied) as refused:
        call_of(headers_of(origin=origin))

    assert refused.value.code == "origin_denied"


@pytest.mark.parametrize("allowed", ["https://app.example", "*"])
def test_origins_of_the_list_may_call(allowed: str) -> None:
    options = PipelineOptions(cors_origins=(allowed,))

    assert call_of(headers_of(origin="https://app.example"), options).principal.key_id == "anonymous"


def test_origins_do_not_matter_where_every_call_shows_a_key() -> None:
    call = call_of(
        headers_of(origin="https://any.example", authorization="Bearer sk-1"), PipelineOptions(anonymous=False)
    )

    assert call.principal.provider_key == "sk-1"


@pytest.mark.parametrize("authority", ["evil.example", "evil.example:8080", "10.0.0.1", "localhost.evil.example"])
def test_a_name_rebound_to_this_machine_is_refused_under_anonymous_access(authority: str) -> None:
    with pytest.raises(PermissionDenied) as refused:
        call_of(authority=authority)

    assert refused.value.code == "host_denied"
    assert call_of(authority=authority, options=PipelineOptions(loopback_hosts_only=False)).endpoint is None


@pytest.mark.parametrize(
    ("authority", "loopback"),
    [
        ("localhost", True),
        ("LOCALHOST:8080", True),
        ("localhost.", True),
        ("app.localhost:1", True),
        ("127.0.0.1:8080", True),
        ("127.8.8.8", True),
        ("[::1]:8080", True),
        ("0.0.0.0", False),
        ("[::2]:1", False),
        ("xlocalhost", False),
        ("", False),
        ("[", False),
        ("localhost@evil.example", False),
    ],
)
def test_loopback_hosts_are_told_from_others(authority: str, loopback: bool) -> None:
    assert is_loopback_host(authority) is loopback
