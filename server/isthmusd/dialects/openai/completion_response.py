"""The whole completion answer, both ways. The streamed one is `completion_stream.py`.

Source: https://platform.openai.com/docs/api-reference/completions/object
"""

from __future__ import annotations

import msgspec

from isthmusd.core.call import Stamp
from isthmusd.core.completion import CompletionChoice, CompletionResponse
from isthmusd.dialects.openai.errors import raise_if_error
from isthmusd.dialects.openai.usage import decode_usage, encode_usage
from isthmusd.framing.failures import answer_fault
from isthmusd.framing.fields import Fields, drop_none, raw_or_none


def decode_completion_response(body: bytes, stamp: Stamp) -> CompletionResponse:
    """Read a whole answer. Raises Garbled, or the error that came in its place."""
    fields = Fields.of(body, "", answer_fault)
    raise_if_error(fields)
    choices = fields.objects("choices")
    if choices is None:
        raise fields.fault("'choices' is missing.", "choices")
    usage = fields.raw("usage")
    fields.raw("object")
    return CompletionResponse(
        id=fields.text("id") or f"cmpl-{stamp.id}",
        model=fields.text("model") or "",
        created_at=int(fields.number("created") or stamp.created_at),
        choices=tuple(_decode_choice(choice, place) for place, choice in enumerate(choices)),
        usage=None if usage is None else decode_usage(usage),
        system_fingerprint=fields.text("system_fingerprint"),
        extra=fields.rest(),
    )


def encode_completion_response(response: CompletionResponse) -> bytes:
    """Write a whole answer."""
    members = {
        "id": response.id,
        "object": "text_completion",
        "created": response.created_at,
        "model": response.model,
        "choices": [_encode_choice(choice) for choice in response.choices],
        "usage": None if response.usage is None else encode_usage(response.usage),
        "system_fingerprint": response.system_fingerprint,
    }
    return msgspec.json.encode(drop_none(members, response.extra))


def _decode_choice(fields: Fields, place: int) -> CompletionChoice:
    index = fields.integer("index")
    return CompletionChoice(
        index=place if index is None else index,
        text=fields.required_text("text"),
        finish_reason=fields.text("finish_reason"),
        logprobs=fields.json("logprobs"),
        extra=fields.rest(),
    )


def _encode_choice(choice: CompletionChoice) -> dict[str, object]:
    nullable = {"logprobs": raw_or_none(choice.logprobs), "finish_reason": choice.finish_reason}
    return drop_none({"index": choice.index, "text": choice.text}, choice.extra) | nullable
