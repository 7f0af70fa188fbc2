"""Answers in Google's documented format, whole and in chunks. No tests here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from isthmusd.core.chat import ChatResponse
from isthmusd.core.collect import collect_chat
from isthmusd.core.events import Event
from isthmusd.core.profile import Profile

from tests.unit.dialects_gemini.asking import CHAT, STAMP

Json = dict[str, Any]

USAGE: Json = {
    "promptTokenCount": 10,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 3,
    "cachedContentTokenCount": 4,
    "toolUsePromptTokenCount": 2,
    "totalTokenCount": 20,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 4}, {"modality": "AUDIO", "tokenCount": 6}],
    "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 1}],
    "serviceTier": "standard",
    "trafficType": "ON_DEMAND",
}
HEAD: Json = {"modelVersion": "gemini-x", "responseId": "r1", "usageMetadata": USAGE}
WEATHER: Json = {"functionCall": {"name": "weather", "args": {"b": 1.0, "a": 12345678901234567890}, "id": "g1"}}
CODE: Json = {"executableCode": {"language": "PYTHON", "code": "print(1)"}}
OUTPUT: Json = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1\n"}}
PICTURE: Json = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}, "thoughtSignature": "aW1n"}
SOUND: Json = {"inlineData": {"mimeType": "audio/L16;rate=24000", "data": "AAAA"}}
CLIP: Json = {"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}}
GROUNDING: Json = {
    "webSearchQueries": ["q"],
    "groundingChunks": [
        {"web": {"uri": "https://a.example", "title": "A"}},
        {"maps": {"uri": "https://b.example"}},
        {"image": {"sourceUri": "https://c.example", "title": "C"}},
        {"novel": {}},
    ],
    "groundingSupports": [
        {"segment": {"startIndex": 0, "endIndex": 5, "text": "Über"}, "groundingChunkIndices": [0, 1, 9]},
        {"segment": {"startIndex": 5, "endIndex": 9}, "groundingChunkIndices": [2, 3]},
        {"groundingChunkIndices": []},
        {"segment": {"text": "elsewhere"}},
    ],
}


def candidate(*parts: Json, finish: str | None = None, **members: Any) -> Json:
    content = {"content": {"role": "model", "parts": list(parts)}} if parts else {}
    finished = {} if finish is None else {"finishReason": finish}
    return {**content, **finished, **members}


def answer(*candidates: Json, **members: Any) -> Json:
    return {"candidates": list(candidates), **HEAD, **members}


def said(*parts: Json, finish: str = "STOP", **members: Any) -> Json:
    """Give a whole answer with one candidate."""
    return answer(candidate(*parts, finish=finish, **members))


def whole(body: Json) -> ChatResponse:
    return CHAT.decode_response(msgspec.json.encode(body), STAMP)


def events_of(pieces: Iterable[bytes]) -> list[Event]:
    """Give the events of a stream that ends well."""
    decoder = CHAT.stream_decoder(STAMP, Profile())
    events = [event for piece in pieces for event in decoder.feed(piece)]
    events += decoder.close()
    assert decoder.failure is None
    assert decoder.ended
    return events


def wire(*chunks: Json, end: bytes = b"\n\n") -> bytes:
    return b"".join(b"data: " + msgspec.json.encode(chunk) + end for chunk in chunks)


def streamed(*chunks: Json) -> ChatResponse:
    return collect_chat(events_of([wire(*chunks)]))
