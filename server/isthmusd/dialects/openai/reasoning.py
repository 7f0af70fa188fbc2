"""How much a model shall think, in the forms that callers of this format write, both ways: OpenAI's `reasoning_effort`,
OpenRouter's `reasoning` object (https://openrouter.ai/docs/use-cases/reasoning-tokens) and Anthropic's `thinking`
(https://platform.claude.com/docs/en/build-with-claude/extended-thinking). What a model thought is `thinking.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from isthmusd.core.chat import Extra, JsonText, Reasoning
from isthmusd.core.profile import Profile
from isthmusd.core.request import Loss
from isthmusd.dialects.openai.errors import request_fault
from isthmusd.framing.fields import Fields, drop_none

_EFFORT, _OBJECT, _THINKING = "reasoning_effort", "reasoning", "thinking"
_ON, _OFF = "medium", "none"
"""What a bare switch means: https://openrouter.ai/docs/use-cases/reasoning-tokens#controlling-reasoning-tokens."""


@dataclass(slots=True)
class _Wish:
    effort: str | None = None
    max_tokens: int | None = None
    include: bool | None = None
    source: Extra = ()


def decode_reasoning(fields: Fields) -> tuple[Reasoning | None, Extra]:
    """Take whatever says how to think, and give the members among it whose form is not known here as they are."""
    wish = _Wish()
    unknown: list[tuple[str, JsonText]] = []
    for name, read in ((_OBJECT, _read_object), (_THINKING, _read_thinking)):
        kind, text = fields.kind(name), fields.json(name)
        if text is None:
            continue
        if kind == "an object" and read(Fields.of(text.encode(), fields.at(name), request_fault), wish):
            wish.source += ((name, text),)
        else:
            unknown.append((name, text))
    effort = fields.text(_EFFORT)
    if effort is not None:
        if wish.source:
            wish.source = ((_EFFORT, JsonText(msgspec.json.encode(effort).decode())), *wish.source)
        wish.effort = effort
    if wish == _Wish():
        return None, tuple(unknown)
    reasoning = Reasoning(effort=wish.effort, max_tokens=wish.max_tokens, include=wish.include, source=wish.source)
    return reasoning, tuple(unknown)


def encode_reasoning(reasoning: Reasoning | None, profile: Profile, losses: list[Loss]) -> Mapping[str, object]:
    """Write how to think: as the caller wrote it, else as the target takes it."""
    if reasoning is None:
        return {}
    if reasoning.source:
        return {name: msgspec.Raw(text) for name, text in reasoning.source}
    if not profile.accepts_reasoning_object:
        for name, value in (("max_tokens", reasoning.max_tokens), ("include", reasoning.include)):
            if value is not None:
                losses.append(Loss(field=f"reasoning.{name}", reason="OpenAI's chat takes a reasoning effort only"))
        return {_EFFORT: reasoning.effort}
    if reasoning.max_tokens is None and reasoning.include is None:
        return {_EFFORT: reasoning.effort}
    exclude = None if reasoning.include is None else not reasoning.include
    # OpenRouter takes either a number of tokens or a word.
    effort = reasoning.effort if reasoning.max_tokens is None else None
    members = {"effort": effort, "max_tokens": reasoning.max_tokens, "exclude": exclude}
    return {_OBJECT: drop_none(members)}


def _read_object(members: Fields, wish: _Wish) -> bool:
    if not members.names() or not {"effort", "max_tokens", "exclude", "enabled"}.issuperset(members.names()):
        return False
    effort, enabled, exclude = members.text("effort"), members.boolean("enabled"), members.boolean("exclude")
    wish.max_tokens = members.integer("max_tokens")
    wish.include = None if exclude is None else not exclude
    if enabled is False:
        wish.effort, wish.max_tokens = _OFF, None
    elif enabled and effort is None and wish.max_tokens is None:
        wish.effort = _ON
    else:
        wish.effort = effort
    return True


def _read_thinking(members: Fields, wish: _Wish) -> bool:
    if not {"type", "budget_tokens"}.issuperset(members.names()):
        return False
    match members.text("type"), members.integer("budget_tokens"):
        case "disabled", _:
            wish.effort, wish.max_tokens = _OFF, None
        case "enabled", None:
            wish.effort = wish.effort or (_ON if wish.max_tokens is None else None)
        case "enabled", budget:
            wish.max_tokens = budget
        case _:
            return False
    return True
