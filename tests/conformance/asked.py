"""Holds what a provider of another format was asked against what the caller asked for: everything arrives, or is named
among the losses. It knows no format.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from tests.conformance.corpus import Case
from tests.conformance.dialects import Dialect
from tests.fakes.wire_openai import KNOBS, asked_of
from tests.fakes.wire_turn import Asked

PART = re.compile(r"messages\[(\d+)\]\.content\[(\d+)\]")
UNDERSTOOD = frozenset((
    *KNOBS, "model", "stream", "stream_options", "messages", "prompt", "input", "encoding_format", "tools",
    "tool_choice", "max_tokens", "max_completion_tokens", "stop", "response_format",
))  # fmt: skip
NOTHING: tuple[Any, ...] = (None, {}, [], False)
"""Values of a member that say no more than its absence."""


def sent_differences(
    case: Case, dialect: Dialect, got: list[Asked], bodies: list[bytes], losses: list[str]
) -> list[str]:
    """Say where the provider was asked something else; empty if it was not."""
    if case.upstream is None or case.sent == "any":
        return [f"the provider was asked, and should not have been: {got}"] if got and case.upstream is None else []
    if not got:
        return ["the provider was not asked"]
    request = _request(case)
    asked, arrived = asked_of(_without(request, losses), case.upstream_model), got[-1]
    found = _loss_differences(case, dialect, losses)
    for name in ("model", "stream", "system", "inputs"):
        if getattr(asked, name) != getattr(arrived, name):
            found.append(f"sent {name}: asked {getattr(asked, name)!r}, got {getattr(arrived, name)!r}")
    found += _turn_differences(asked, arrived)
    dialect.force(asked)
    dialect.narrow(asked)
    found += _tool_differences(asked, arrived, losses)
    found += _knob_differences(asked, arrived, dialect, losses)
    found += [
        f"sent {name}: neither arrived nor named as lost"
        for name, value in request.items()
        if name not in UNDERSTOOD and value not in NOTHING and not _told(name, dialect, bodies[-1], losses)
    ]
    return found


def _request(case: Case) -> dict[str, Any]:
    """What the provider shall be asked, in OpenAI's words."""
    if not isinstance(case.sent, dict):
        return case.request
    prompt = {"prompt": None} if "messages" in case.sent else {}
    request = {**case.request, **prompt, **case.sent}
    return {name: value for name, value in request.items() if value is not None}


def _without(request: dict[str, Any], losses: list[str]) -> dict[str, Any]:
    """Leave out the parts of messages that are named as lost."""
    lost = {(int(found[1]), int(found[2])) for path in losses if (found := PART.fullmatch(path))}
    if not lost:
        return request
    messages = [
        {**message, "content": [part for place, part in enumerate(message["content"]) if (number, place) not in lost]}
        if isinstance(message.get("content"), list)
        else message
        for number, message in enumerate(request["messages"])
    ]
    return {**request, "messages": messages}


def _loss_differences(case: Case, dialect: Dialect, losses: list[str]) -> list[str]:
    """Nothing is lost that nobody knows of, and what a case says is lost is said to be."""
    own = case.lost(dialect.name)
    known = (*own, *dialect.cannot_ask)
    found = [f"lost {path}" for path in losses if not any(_matches(path, one) for one in known)]
    return found + [f"{path} is not named as lost" for path in own if not any(_matches(loss, path) for loss in losses)]


def _matches(path: str, pattern: str) -> bool:
    """`*` stands for anything; brackets are brackets."""
    return fnmatchcase(path.replace("[", "(").replace("]", ")"), pattern.replace("[", "(").replace("]", ")"))


def _turn_differences(asked: Asked, arrived: Asked) -> list[str]:
    wanted, got = _comparable(asked), _comparable(arrived)
    return [] if wanted == got else [f"sent turns: asked {wanted!r}, got {got!r}"]


def _comparable(asked: Asked) -> list[Any]:
    """Results are compared as what they say: JSON may be spaced in any way."""
    return [
        (role, [(*piece[:2], _value(piece[2])) if piece[0] == "result" else piece for piece in pieces])
        for role, pieces in asked.turns
    ]


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _tool_differences(asked: Asked, arrived: Asked, losses: list[str]) -> list[str]:
    if asked.choice == "none" and not arrived.tools:
        return []  # not to offer any is to allow none
    found = [] if [*asked.tools] == [*arrived.tools] else [f"tools: asked {[*asked.tools]}, got {[*arrived.tools]}"]
    for name, tool in asked.tools.items():
        for member, value in tool.items():
            got = arrived.tools.get(name, {}).get(member)
            path = f"tools[{asked.places.get(name)}].function.{member}"
            if got != value and value not in NOTHING and not any(loss.startswith(path) for loss in losses):
                found.append(f"{path}: asked {value!r}, got {got!r}")
    if (asked.choice or "auto") != (arrived.choice or "auto") and "tool_choice" not in losses:
        found.append(f"tool_choice: asked {asked.choice!r}, got {arrived.choice!r}")
    if asked.schema != arrived.schema and not any(loss.startswith("response_format") for loss in losses):
        found.append(f"response_format: asked {asked.schema!r}, got {arrived.schema!r}")
    return found


def _knob_differences(asked: Asked, arrived: Asked, dialect: Dialect, losses: list[str]) -> list[str]:
    lost = {"max_tokens" if name == "max_completion_tokens" else name for name in losses}
    found = [
        f"sent {name}: asked {value!r}, got {arrived.knobs.get(name)!r}"
        for name, value in asked.knobs.items()
        if arrived.knobs.get(name, dialect.defaults.get(name)) != value and name not in lost
    ]
    return found + [
        f"sent {name}: {value!r}, which nobody asked for"
        for name, value in arrived.knobs.items()
        if name not in asked.knobs and dialect.defaults.get(name) not in ("any", value)
    ]


def _told(name: str, dialect: Dialect, body: bytes, losses: list[str]) -> bool:
    """Whether a member that only this provider can judge arrived, or is named as lost."""
    named = any(loss == name or loss.startswith(f"{name}.") for loss in losses)
    return named or dialect.own_names.get(name, name).encode() in body
