"""The field that completions call `prompt` and embeddings `input`: text, token ids, or an array of them."""

from __future__ import annotations

import msgspec

from isthmusd.core.embedding import EmbeddingInput, RawInput
from isthmusd.framing.fields import Fault, Fields, json_text, kind_of, read_text

_TOKENS = msgspec.json.Decoder(tuple[int, ...])


def decode_prompts(fields: Fields, fault: Fault) -> tuple[str | tuple[int, ...], ...]:
    """Take `prompt`: texts or token arrays, at least one."""
    prompts: list[str | tuple[int, ...]] = []
    for place, item in enumerate(decode_inputs(fields, "prompt", fault)):
        match item:
            case RawInput():
                path = f"prompt[{place}]"
                raise fault(f"{path!r} must be a string or an array of token ids.", path)
            case _:
                prompts.append(item)
    return tuple(prompts)


def decode_inputs(fields: Fields, name: str, fault: Fault) -> tuple[EmbeddingInput, ...]:
    """Take texts, token arrays or objects, at least one."""
    raw = fields.raw(name)
    if raw is None:
        raise fields.fault(f"{name!r} is missing: it must be a string or an array.", name)
    match kind_of(raw):
        case "a string":
            return (read_text(raw, name, fault),)
        case "an array":
            return _decode_array(raw, name, fault)
        case kind:
            raise fields.fault(f"{name!r} must be a string or an array, not {kind}.", name)


def _decode_array(raw: msgspec.Raw, name: str, fault: Fault) -> tuple[EmbeddingInput, ...]:
    items = msgspec.json.decode(raw, type=list[msgspec.Raw])
    if not items:
        raise fault(f"{name!r} must not be empty.", name)
    if kind_of(items[0]) == "a number":
        return (_decode_tokens(raw, name, fault),)
    return tuple(_decode_item(item, f"{name}[{place}]", fault) for place, item in enumerate(items))


def _decode_item(raw: msgspec.Raw, path: str, fault: Fault) -> EmbeddingInput:
    match kind_of(raw):
        case "a string":
            return read_text(raw, path, fault)
        case "an array":
            return _decode_tokens(raw, path, fault)
        case "an object":
            return RawInput(json=json_text(raw))
        case kind:
            raise fault(f"{path!r} must be a string or an array of token ids, not {kind}.", path)


def _decode_tokens(raw: msgspec.Raw, path: str, fault: Fault) -> tuple[int, ...]:
    try:
        return _TOKENS.decode(raw)
    except msgspec.ValidationError as error:
        raise fault(f"{path!r} must hold whole numbers only: token ids.", path) from error
