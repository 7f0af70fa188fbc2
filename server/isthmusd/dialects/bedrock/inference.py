"""The knobs of sampling to `inferenceConfig`, and to the model's own fields where Converse has none. Thinking is
`thinking.py`.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InferenceConfiguration.html
"""

from __future__ import annotations

from isthmusd.core.chat import Sampling
from isthmusd.core.profile import Profile
from isthmusd.core.request import Loss
from isthmusd.dialects.bedrock.families import Family
from isthmusd.dialects.bedrock.marks import Block
from isthmusd.framing.fields import drop_none

MAX_TEMPERATURE = 1.0

_BESIDE_THINKING = 0.95
"""The least `top_p` that Claude takes while it thinks."""

_DEFAULTS: dict[str, tuple[object, ...]] = {
    "top_k": (),
    "min_p": (0,),
    "repetition_penalty": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "n": (1,),
    "logit_bias": ((),),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "seed": (),
}
"""Knobs that Converse has not, with the values that ask for nothing."""


def limit_of(sampling: Sampling, profile: Profile) -> int | None:
    """Give the tokens that the answer may have."""
    for limit in (sampling.max_completion_tokens, sampling.max_tokens):
        if limit is not None:
            return limit
    return profile.default_max_tokens


def encode_inference(sampling: Sampling, limit: int | None, constrained: bool, losses: list[Loss]) -> Block:
    """Write `inferenceConfig`. `constrained`: Claude thinks, and takes the knobs only so far."""
    if sampling.max_tokens is not None and sampling.max_tokens != limit:
        losses.append(Loss(field="max_tokens", reason="max_completion_tokens is what counts"))
    members = {
        "maxTokens": limit,
        "temperature": _temperature(sampling.temperature, constrained, losses),
        "topP": _top_p(sampling.top_p, constrained, losses),
        "stopSequences": _stop(sampling.stop, losses),
    }
    return drop_none(members)


def encode_knobs(sampling: Sampling, family: Family, constrained: bool, losses: list[Loss]) -> Block:
    """Write the knobs that the model has and Converse has not."""
    values: dict[str, object | None] = {
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "n": sampling.n,
        "logit_bias": sampling.logit_bias,
        "logprobs": sampling.logprobs,
        "top_logprobs": sampling.top_logprobs,
        "seed": sampling.seed,
    }
    written: Block = {}
    for name, value in values.items():
        if value is None or value in _DEFAULTS[name]:
            continue
        path = family.knobs.get(name)
        if path is None:
            losses.append(Loss(field=name, reason="Bedrock has no such knob for this model"))
        elif constrained:
            losses.append(Loss(field=name, reason="the model does not take it while it thinks"))
        else:
            *outer, last = path
            place = written
            for step in outer:
                inner: Block = {}
                place[step] = inner
                place = inner
            place[last] = value
    return written


def _temperature(value: float | None, constrained: bool, losses: list[Loss]) -> float | None:
    if value is None or (constrained and value == MAX_TEMPERATURE):
        return None
    if constrained:
        losses.append(Loss(field="temperature", reason="the model takes none but 1 while it thinks"))
        return None
    if value > MAX_TEMPERATURE:
        losses.append(Loss(field="temperature", reason="Bedrock takes 1 at most: sent as 1"))
        return MAX_TEMPERATURE
    return value


def _top_p(value: float | None, constrained: bool, losses: list[Loss]) -> float | None:
    if value is not None and constrained and value < _BESIDE_THINKING:
        losses.append(Loss(field="top_p", reason=f"the model takes {_BESIDE_THINKING} or more while it thinks"))
        return None
    return value


def _stop(stop: tuple[str, ...] | None, losses: list[Loss]) -> list[str] | None:
    texts = [text for text in stop or () if text]
    if stop and len(texts) < len(stop):
        losses.append(Loss(field="stop", reason="Bedrock refuses empty stop sequences"))
    return texts or None
