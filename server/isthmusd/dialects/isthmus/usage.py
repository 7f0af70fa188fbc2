"""Token counts, towards the caller: it counts nothing and knows no prices. Token probabilities are `logprobs.py`."""

from __future__ import annotations

from isthmus.v1 import usage_pb2 as pb

from isthmusd.core.chat import Extra, JsonText
from isthmusd.core.usage import Usage
from isthmusd.dialects.isthmus.fields import NOT_JSON, join, split

_INPUT = "prompt_tokens_details"
_OUTPUT = "completion_tokens_details"
_INPUT_COUNTS = ("image_tokens", "text_tokens", "tool_use_tokens")
_OUTPUT_COUNTS = ("text_tokens",)


def encode_usage(usage: Usage) -> pb.Usage:
    """Write a usage. The hub's own details go to their fields, and so do those that it keeps in `extra` under the
    names of OpenAI's breakdowns."""
    extra = {name: JsonText(text) for name, text in usage.extra}
    input_counts, input_rest = _take_details(extra, _INPUT, _INPUT_COUNTS)
    output_counts, output_rest = _take_details(extra, _OUTPUT, _OUTPUT_COUNTS)
    inputs = pb.Usage.InputDetails(
        cached_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        audio_tokens=usage.prompt_audio_tokens,
        extra_json=join(input_rest),
        **input_counts,
    )
    outputs = pb.Usage.OutputDetails(
        reasoning_tokens=usage.reasoning_tokens,
        audio_tokens=usage.completion_audio_tokens,
        accepted_prediction_tokens=usage.accepted_prediction_tokens,
        rejected_prediction_tokens=usage.rejected_prediction_tokens,
        extra_json=join(output_rest),
        **output_counts,
    )
    return pb.Usage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
        input_details=inputs if inputs.ByteSize() else None,
        output_details=outputs if outputs.ByteSize() else None,
        estimated=usage.estimated,
        extra_json=join(tuple(extra.items())),
    )


def _take_details(extra: dict[str, JsonText], name: str, counts: tuple[str, ...]) -> tuple[dict[str, int], Extra]:
    """Move a breakdown out of the extras: the counts that have fields, and the rest of it."""
    if name not in extra:
        return {}, ()
    try:
        details = split(extra[name])
    except NOT_JSON:
        return {}, ()  # it is no object (`null`, say), and stays among the extras as it is
    del extra[name]
    taken = {key: int(text) for key, text in details if key in counts and _is_count(text)}
    return taken, tuple(member for member in details if member[0] not in taken)


def _is_count(text: str) -> bool:
    return text.isdecimal() and len(text) < 19
