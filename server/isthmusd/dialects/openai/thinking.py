"""What a model thought, in the forms that servers of this format write and take, both ways.

Beside the content: `reasoning_content` (https://api-docs.deepseek.com/guides/thinking_mode) or `reasoning`
(https://openrouter.ai/docs/use-cases/reasoning-tokens) as text; `thinking_blocks`
(https://docs.litellm.ai/docs/reasoning_content) as blocks with the signatures that must come back in the next turn. In
the content: parts of type `thinking`, as Mistral (https://docs.mistral.ai/capabilities/reasoning/) or Anthropic write
them. Streams are `chat_stream.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable

from isthmusd.core.chat import Part, ThinkingPart
from isthmusd.core.profile import EarlierThinking
from isthmusd.core.request import Loss
from isthmusd.framing.fields import Fault, Fields, drop_none, kind_of

REASONING = ("reasoning_content", "reasoning")
BLOCKS = "thinking_blocks"

_UNSIGNED = "the provider takes thinking of earlier turns as plain text"
_UNWANTED = "the provider takes no thinking of earlier turns"


def take_thinking(fields: Fields, fault: Fault) -> tuple[ThinkingPart, ...]:
    """Take the thinking beside a message's content. Blocks win over the text that repeats them."""
    text = take_reasoning(fields)
    blocks = take_blocks(fields, fault)
    if blocks:
        return blocks
    return () if text is None else (ThinkingPart(text=text),)


def take_reasoning(fields: Fields) -> str | None:
    """Take the reasoning text, from whichever member holds it; some servers write both."""
    texts = [fields.text(name) for name in REASONING if fields.kind(name) == "a string"]
    return next((text for text in texts if text), None)


def take_blocks(fields: Fields, fault: Fault) -> tuple[ThinkingPart, ...]:
    """Take `thinking_blocks`; entries that are no such block say nothing."""
    if fields.kind(BLOCKS) != "an array":
        return ()
    path, parts = fields.at(BLOCKS), list[ThinkingPart]()
    for place, raw in enumerate(fields.items(BLOCKS) or []):
        if kind_of(raw) == "an object":
            block = Fields.of(raw, f"{path}[{place}]", fault)
            # Where it lies in a stream's list.
            block.raw("index")
            part = _BLOCKS[kind](block) if (kind := block.text("type")) in _BLOCKS else None
            if part is not None:
                parts.append(part)
    return tuple(parts)


def decode_thinking(fields: Fields) -> ThinkingPart | None:
    """Read a part of type `thinking` whose type was taken; None if it holds no thinking."""
    match fields.kind("thinking"):
        case "a string":
            text = fields.required_text("thinking")
        case "an array":
            text = "".join(item.text("text") or "" for item in fields.objects("thinking") or [])
        case _:
            return None
    return ThinkingPart(text=text, signature=fields.text("signature"), extra=fields.rest())


def decode_redacted(fields: Fields) -> ThinkingPart | None:
    """Read a part of type `redacted_thinking` whose type was taken; None if it holds nothing."""
    if fields.kind("data") != "a string":
        return None
    return ThinkingPart(redacted_data=fields.text("data"), extra=fields.rest())


_BLOCKS = {"thinking": decode_thinking, "redacted_thinking": decode_redacted}


def encode_blocks(part: ThinkingPart) -> list[dict[str, object]]:
    """Write a thinking part as blocks: one, or two for one that is in part redacted."""
    blocks: list[dict[str, object]] = []
    if part.text or part.redacted_data is None:
        members = {"type": "thinking", "thinking": part.text, "signature": part.signature}
        blocks.append(drop_none(members, part.extra))
    if part.redacted_data is not None:
        blocks.append(drop_none({"type": "redacted_thinking", "data": part.redacted_data}, part.extra))
    return blocks


def shown_thinking(content: Iterable[Part]) -> dict[str, object]:
    """Write the thinking of an answer: as text, and as blocks where there is more to it than text."""
    parts = _thoughts(content)
    members: dict[str, object] = {}
    text = "".join(part.text for part in parts)
    if text:
        members[REASONING[0]] = text
    if any(part.signature is not None or part.redacted_data is not None for part in parts):
        members[BLOCKS] = [block for part in parts for block in encode_blocks(part)]
    return members


def earlier_thinking(
    content: tuple[Part, ...] | None, path: str, form: EarlierThinking, losses: list[Loss]
) -> dict[str, object]:
    """Write the thinking of an earlier turn beside its content, as far as the target takes it there."""
    parts = _thoughts(content or ())
    if not parts or form is EarlierThinking.PARTS:
        return {}
    text = "".join(part.text for part in parts)
    match form:
        case EarlierThinking.BLOCKS:
            return shown_thinking(parts)
        case EarlierThinking.NONE:
            losses.append(Loss(field=path, reason=_UNWANTED))
            return {}
        case EarlierThinking.REASONING_CONTENT | EarlierThinking.REASONING:
            losses += _unsaid(content or (), path)
            return {form.value: text} if text else {}


def encode_thinking_part(part: ThinkingPart) -> dict[str, object] | None:
    """Write a part of the content, in Mistral's form; None for what only its provider can read."""
    if part.redacted_data is not None and not part.text:
        return None
    texts = [{"type": "text", "text": part.text}]
    return drop_none({"type": "thinking", "thinking": texts, "signature": part.signature}, part.extra)


def _thoughts(content: Iterable[Part]) -> list[ThinkingPart]:
    return [part for part in content if isinstance(part, ThinkingPart)]


def _unsaid(content: Iterable[Part], path: str) -> list[Loss]:
    losses: list[Loss] = []
    for place, part in enumerate(content):
        match part:
            case ThinkingPart(signature=signature, redacted_data=redacted, extra=extra):
                unsaid = {"signature": signature, "redacted_data": redacted, **dict(extra)}
                losses += [
                    Loss(field=f"{path}[{place}].{name}", reason=_UNSIGNED)
                    for name, value in unsaid.items()
                    if value is not None
                ]
            case _:
                pass
    return losses
