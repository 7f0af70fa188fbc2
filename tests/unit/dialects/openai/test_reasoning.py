"""How much to think, in the three forms that callers write."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from isthmusd.core.chat import Reasoning
from isthmusd.core.errors import InvalidRequest
from isthmusd.core.profile import Profile
from isthmusd.core.request import Operation
from isthmusd.dialects.registry import called, served

HELLO: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
ROUTER = Profile(accepts_reasoning_object=True)


def decoded(**members: Any) -> Any:
    return served("openai", Operation.CHAT).decode_request(msgspec.json.encode({**HELLO, **members}))


def encoded(request: Any, profile: Profile) -> tuple[dict[str, Any], list[str]]:
    sent = called("openai", Operation.CHAT).encode_request(request, "m", profile)
    body = msgspec.json.decode(sent.body)
    return {name: value for name, value in body.items() if name not in HELLO}, [loss.field for loss in sent.losses]


@pytest.mark.parametrize(
    ("members", "effort", "max_tokens", "include"),
    [
        ({"reasoning_effort": "low"}, "low", None, None),
        ({"reasoning": {"effort": "high"}}, "high", None, None),
        ({"reasoning": {"max_tokens": 2000, "exclude": True}}, None, 2000, False),
        ({"reasoning": {"enabled": True, "exclude": False}}, "medium", None, True),
        ({"reasoning": {"enabled": True, "effort": "low"}}, "low", None, None),
        ({"reasoning": {"enabled": False, "max_tokens": 5}}, "none", None, None),
        ({"reasoning": {"effort": "high"}, "reasoning_effort": "low"}, "low", None, None),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, None, 2000, None),
        ({"thinking": {"type": "enabled"}}, "medium", None, None),
        ({"thinking": {"type": "enabled"}, "reasoning": {"max_tokens": 9}}, None, 9, None),
        ({"thinking": {"type": "disabled"}}, "none", None, None),
    ],
)
def test_every_form_is_read_and_written_back_as_it_came(
    members: dict[str, Any], effort: str | None, max_tokens: int | None, include: bool | None
) -> None:
    request = decoded(**members)

    reasoning = request.reasoning
    assert (reasoning.effort, reasoning.max_tokens, reasoning.include) == (effort, max_tokens, include)
    assert request.extra == ()
    assert encoded(request, Profile()) == (members, [])


@pytest.mark.parametrize(
    "members",
    [
        {"thinking": {"type": "adaptive"}},
        {"thinking": {"type": "enabled", "budget_tokens": 9, "display": "omitted"}},
        {"reasoning": {"effort": "low", "summary": "auto"}},
        {"reasoning": {}},
        {"reasoning": "yes"},
    ],
)
def test_forms_that_are_not_known_stay_where_they_are(members: dict[str, Any]) -> None:
    request = decoded(**members)

    assert request.reasoning is None
    assert [name for name, _ in request.extra] == list(members)
    assert encoded(request, Profile()) == (members, [])


def test_nothing_said_is_nothing() -> None:
    assert decoded(reasoning=None, thinking=None, reasoning_effort=None).reasoning is None


def test_wrong_types_name_the_field() -> None:
    with pytest.raises(InvalidRequest, match=r"'reasoning\.max_tokens' must be a whole number"):
        decoded(reasoning={"max_tokens": "many"})


@pytest.mark.parametrize(
    ("reasoning", "sent"),
    [
        (Reasoning(effort="low"), {"reasoning_effort": "low"}),
        (Reasoning(max_tokens=5), {"reasoning": {"max_tokens": 5}}),
        (Reasoning(effort="low", max_tokens=5, include=True), {"reasoning": {"max_tokens": 5, "exclude": False}}),
        (Reasoning(effort="low", include=False), {"reasoning": {"effort": "low", "exclude": True}}),
    ],
)
def test_routers_take_budgets_too(reasoning: Reasoning, sent: dict[str, Any]) -> None:
    assert encoded(replace(decoded(), reasoning=reasoning), ROUTER) == (sent, [])


def test_openai_takes_an_effort_only() -> None:
    request = replace(decoded(), reasoning=Reasoning(effort="low", max_tokens=5, include=True))

    assert encoded(request, Profile()) == (
        {"reasoning_effort": "low"},
        ["reasoning.max_tokens", "reasoning.include"],
    )
