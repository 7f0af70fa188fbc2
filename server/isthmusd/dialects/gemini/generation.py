"""`generationConfig`: the knobs of an answer, its format, kinds and length. Messages and tools are not here.

Source: https://ai.google.dev/api/generate-content#generationconfig
"""

from __future__ import annotations

import msgspec

from isthmusd.core.chat import (
    ChatRequest,
    ImagePart,
    JsonObjectFormat,
    JsonSchemaFormat,
    JsonText,
    Message,
    RawFormat,
    ResponseFormat,
    Sampling,
    TextFormat,
)
from isthmusd.core.profile import Profile
from isthmusd.core.request import Loss
from isthmusd.dialects.gemini.native import UNKNOWN, Native, members_of
from isthmusd.dialects.gemini.paths import camel
from isthmusd.dialects.gemini.thinking import encode_thinking
from isthmusd.framing.fields import drop_none, plain_number, raw_or_none

MAX_STOPS = 5
_JSON = "application/json"
_THINKING = "thinkingConfig"
_RESOLUTIONS = {"low": "MEDIA_RESOLUTION_LOW", "high": "MEDIA_RESOLUTION_HIGH"}
_NATIVE_AUDIO = "pcm16"


def encode_generation(
    request: ChatRequest, model: str, profile: Profile, native: Native, losses: list[Loss]
) -> dict[str, object]:
    """Write `generationConfig`; empty if nothing was asked for."""
    thinking = encode_thinking(request.reasoning, model, profile.thinking, losses)
    config = drop_none(
        {
            **_sampling(request.sampling, losses),
            **_format(request.response_format, losses),
            "responseModalities": _modalities(request.modalities),
            "speechConfig": _speech(request.audio, losses),
            "mediaResolution": _resolution(request.messages, losses),
        }
    )
    for name, (raw, path) in native.generation.items():
        if name == _THINKING:
            thinking = _merged_thinking(thinking, raw, losses)
        elif name in config:
            losses.append(Loss(field=path, reason="another field of the request says it already"))
        else:
            config[name] = raw
    return {**config, _THINKING: thinking} if thinking else config


def _sampling(sampling: Sampling, losses: list[Loss]) -> dict[str, object | None]:
    lost = {
        "min_p": sampling.min_p or None,
        "repetition_penalty": None if sampling.repetition_penalty == 1 else sampling.repetition_penalty,
        "logit_bias": sampling.logit_bias or None,
        "top_logprobs": None if sampling.logprobs else sampling.top_logprobs or None,
    }
    losses += [Loss(field=name, reason=UNKNOWN) for name, value in lost.items() if value is not None]
    return {
        "temperature": plain_number(sampling.temperature),
        "topP": plain_number(sampling.top_p),
        "topK": sampling.top_k,
        # Models exist that refuse penalties, even of 0, which is the default.
        "frequencyPenalty": plain_number(sampling.frequency_penalty or None),
        "presencePenalty": plain_number(sampling.presence_penalty or None),
        "candidateCount": None if sampling.n == 1 else sampling.n,
        "maxOutputTokens": _max_tokens(sampling, losses),
        "stopSequences": _stops(sampling.stop, losses),
        "seed": _seed(sampling.seed, losses),
        "responseLogprobs": sampling.logprobs or None,
        "logprobs": (sampling.top_logprobs or None) if sampling.logprobs else None,
    }


def _max_tokens(sampling: Sampling, losses: list[Loss]) -> int | None:
    wanted, older = sampling.max_completion_tokens, sampling.max_tokens
    if wanted is not None and older is not None and wanted != older:
        losses.append(Loss(field="max_tokens", reason="'max_completion_tokens' says it already"))
    return wanted if wanted is not None else older


def _stops(stops: tuple[str, ...] | None, losses: list[Loss]) -> list[str] | None:
    given = [stop for stop in stops or () if stop]
    if len(given) > MAX_STOPS:
        losses.append(Loss(field="stop", reason=f"Gemini takes {MAX_STOPS} stop sequences: the others are left out"))
    return given[:MAX_STOPS] or None


def _seed(seed: int | None, losses: list[Loss]) -> int | None:
    if seed is None or -(2**31) <= seed < 2**31:
        return seed
    losses.append(Loss(field="seed", reason="Gemini takes seeds of 32 bits"))
    return None


def _format(form: ResponseFormat | None, losses: list[Loss]) -> dict[str, object | None]:
    match form:
        case None | TextFormat():
            return {}
        case JsonObjectFormat():
            return {"responseMimeType": _JSON}
        case JsonSchemaFormat():
            if form.description is not None:
                losses.append(Loss(field="response_format.json_schema.description", reason=UNKNOWN))
            return {"responseMimeType": _JSON, "responseJsonSchema": raw_or_none(form.schema)}
        case RawFormat():
            losses.append(Loss(field="response_format", reason="Gemini has no such format"))
            return {}


def _modalities(modalities: tuple[str, ...] | None) -> list[str] | None:
    wanted = [modality.upper() for modality in modalities or ()]
    return None if wanted == ["TEXT"] else wanted or None


def _speech(audio: JsonText | None, losses: list[Loss]) -> dict[str, object] | None:
    members = {} if audio is None else members_of(audio) or {}
    voice, form = (_text(members.get(name)) for name in ("voice", "format"))
    if form not in (None, _NATIVE_AUDIO):
        losses.append(Loss(field="audio.format", reason=f"Gemini answers with {_NATIVE_AUDIO} only"))
    if voice is not None:
        return {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": voice}}}
    if audio is not None:
        losses.append(Loss(field="audio.voice", reason="Gemini takes the name of a voice"))
    return None


def _resolution(messages: tuple[Message, ...], losses: list[Loss]) -> str | None:
    """Google has one resolution for all media of a request."""
    details = {
        f"messages[{turn}].content[{place}]": part.detail
        for turn, message in enumerate(messages)
        for place, part in enumerate(message.content or ())
        if isinstance(part, ImagePart)
    }
    wanted = set(details.values())
    resolution = _RESOLUTIONS.get(wanted.pop() or "") if len(wanted) == 1 else None
    if resolution is None:
        losses += [
            Loss(field=f"{path}.image_url.detail", reason="Gemini has one detail for all images: low or high")
            for path, detail in details.items()
            if detail not in (None, "auto")
        ]
    return resolution


def _merged_thinking(ours: dict[str, object], raw: msgspec.Raw, losses: list[Loss]) -> dict[str, object]:
    """Members that the caller wrote in Google's own words win: a budget and a level exclude each other."""
    theirs = {camel(name): value for name, value in (members_of(raw) or {}).items()}
    amounts = {"thinkingBudget", "thinkingLevel"}
    if amounts & set(theirs) and amounts & set(ours):
        losses.append(Loss(field="reasoning", reason="'thinkingConfig' says it already"))
        ours = {name: value for name, value in ours.items() if name not in amounts}
    return {**ours, **theirs}


def _text(raw: msgspec.Raw | None) -> str | None:
    if raw is None or not bytes(raw).startswith(b'"'):
        return None
    return msgspec.json.decode(raw, type=str)
