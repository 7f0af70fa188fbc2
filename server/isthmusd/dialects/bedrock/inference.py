"""The knobs of sampling to `inferenceConfig`, and to the model's own fields where Converse has none. Thinking is
`thinking.py`.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InferenceConfiguration.html
"""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How far a model takes the knobs."""

    family: Family
    refuses: frozenset[str]
    """Knobs that it answers with an error (`Profile.refuses`)."""
    constrained: bool
    """Claude thinks, and takes them only so far."""

    def allowed(self, name: str, value: float | None, default: float | None, losses: list[Loss]) -> float | None:
        """Leave out what is refused; leaving out its default is no loss."""
        if value is None or name not in self.refuses:
            return value
        if value != default:
            losses.append(Loss(field=name, reason="the model does not take it"))
        return None


def encode_inference(sampling: Sampling, limit: int | None, bounds: Bounds, losses: list[Loss]) -> Block:
    """Write `inferenceConfig`."""
    if sampling.max_tokens is not None and sampling.max_tokens != limit:
        losses.append(Loss(field="max_tokens", reason="max_completion_tokens is what counts"))
    temperature = bounds.allowed("temperature", sampling.temperature, 1, losses)
    top_p = bounds.allowed("top_p", sampling.top_p, 1, losses)
    temperature = _temperature(temperature, bounds.constrained, losses)
    top_p = _top_p(top_p, bounds.constrained, losses)
    if not bounds.family.picks_by_both:
        temperature, top_p = _one_of(temperature, top_p, losses)
    members = {
        "maxTokens": limit,
        "temperature": temperature,
        "topP": top_p,
        "stopSequences": _stop(sampling.stop, bounds.family, losses),
    }
    return drop_none(members)


def encode_knobs(sampling: Sampling, bounds: Bounds, losses: list[Loss]) -> Block:
    """Write the knobs that the model has and Converse has not."""
    # Zero and -1 are how compatible servers say that `top_k` sets no limit.
    top_k = sampling.top_k if sampling.top_k is not None and sampling.top_k > 0 else None
    values: dict[str, object | None] = {
        "top_k": bounds.allowed("top_k", top_k, None, losses),
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
        path = bounds.family.knobs.get(name)
        if path is None:
            losses.append(Loss(field=name, reason="Bedrock has no such knob for this model"))
        elif bounds.constrained:
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


def _one_of(temperature: float | None, top_p: float | None, losses: list[Loss]) -> tuple[float | None, float | None]:
    """Claude's models since Opus 4.1 refuse both at once; one that stands at its default can be left out."""
    match temperature, top_p:
        case (None, _) | (_, None):
            return temperature, top_p
        case 1, _:
            return None, top_p
        case _, 1:
            return temperature, None
        case _:
            losses.append(Loss(field="top_p", reason="the model takes either a temperature or top_p"))
            return temperature, None


def _stop(stop: tuple[str, ...] | None, family: Family, losses: list[Loss]) -> list[str] | None:
    texts = [text for text in stop or () if (text if family.stops_at_blanks else text.strip())]
    if stop and len(texts) < len(stop):
        what = "empty stop sequences" if family.stops_at_blanks else "stop sequences without a visible character"
        losses.append(Loss(field="stop", reason=f"the model refuses {what}"))
    return texts or None
