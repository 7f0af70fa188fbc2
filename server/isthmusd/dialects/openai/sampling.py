"""The knobs that chat and completions share, both ways. `logprobs` differs between them and is not here."""

from __future__ import annotations

from isthmusd.core.chat import Sampling
from isthmusd.framing.fields import Fields, plain_number


def decode_sampling(fields: Fields) -> Sampling:
    """Take the shared knobs."""
    bias = fields.items_of("logit_bias")
    return Sampling(
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        top_k=fields.integer("top_k"),
        min_p=fields.number("min_p"),
        repetition_penalty=fields.number("repetition_penalty"),
        frequency_penalty=fields.number("frequency_penalty"),
        presence_penalty=fields.number("presence_penalty"),
        n=fields.integer("n"),
        stop=_decode_stop(fields),
        max_tokens=fields.integer("max_tokens"),
        max_completion_tokens=fields.integer("max_completion_tokens"),
        logit_bias=None if bias is None else tuple(bias),
        seed=fields.integer("seed"),
    )


def encode_sampling(sampling: Sampling) -> dict[str, object | None]:
    """Write the shared knobs; unset ones as None."""
    bias = sampling.logit_bias
    return {
        "temperature": plain_number(sampling.temperature),
        "top_p": plain_number(sampling.top_p),
        "top_k": sampling.top_k,
        "min_p": plain_number(sampling.min_p),
        "repetition_penalty": plain_number(sampling.repetition_penalty),
        "frequency_penalty": plain_number(sampling.frequency_penalty),
        "presence_penalty": plain_number(sampling.presence_penalty),
        "n": sampling.n,
        "stop": sampling.stop,
        "max_tokens": sampling.max_tokens,
        "max_completion_tokens": sampling.max_completion_tokens,
        "logit_bias": None if bias is None else {token: plain_number(value) for token, value in bias},
        "seed": sampling.seed,
    }


def _decode_stop(fields: Fields) -> tuple[str, ...] | None:
    match fields.kind("stop"):
        case None:
            fields.raw("stop")
            return None
        case "a string":
            return (fields.required_text("stop"),)
        case "an array":
            return fields.texts("stop")
        case kind:
            raise fields.fault(f"'stop' must be a string or an array of strings, not {kind}.", "stop")
