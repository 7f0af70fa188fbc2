"""Recorded traffic of hosts that speak OpenAI's format goes through the `openai` dialect with each host's profile.

Requests are read, written anew and compared in meaning: null says no more than an absent member, and a list of one text
no more than the text; `losses.toml` names what else may differ. Answers and streams, cut anywhere, are read and written
so that OpenAI's published schema accepts them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from isthmusd.core.call import Stamp
from isthmusd.core.chat import TextPart, ThinkingPart
from isthmusd.core.collect import collect_chat
from isthmusd.core.errors import Garbled, UpstreamError
from isthmusd.core.events import End, Event
from isthmusd.core.profile import Profile
from isthmusd.core.replay import replay
from isthmusd.core.request import Operation
from isthmusd.dialects.openai import CALLED, IDENTITY, SERVED
from isthmusd.providers.catalog import CATALOG

from tests.golden import recorded as recordings

STAMP = Stamp(id="abc123", created_at=1_700_000_000)
HOSTS = {
    "openai": "openai",
    "azure": "openai",
    "groq": "groq",
    "mistral": "mistral",
    "xai": "xai",
    "deepseek": "deepseek",
    "openrouter": "openrouter",
    "llamacpp": "llamacpp",
    "huggingface": "",
    "gemini": "",
}
"""Owner of recordings, to the host of the catalogue whose profile holds for them."""
CASE = "chat-completions"
ENDPOINTS = {
    "/chat/completions": Operation.CHAT,
    "/completions": Operation.COMPLETION,
    "/embeddings": Operation.EMBEDDING,
}
CUTS = 3


def calls() -> Iterator[tuple[recordings.Recorded, Operation, str]]:
    for owner, host in HOSTS.items():
        for call in recordings.recorded(owner):
            path = urlsplit(call.url).path
            operation = next((each for end, each in ENDPOINTS.items() if path.endswith(end)), None)
            if operation is not None:
                yield call, operation, host


def requests() -> Iterator[tuple[str, Operation, str, bytes]]:
    for call, operation, host in calls():
        if call.request:
            yield call.name, operation, host, call.request
    for name, case in recordings.cases(CASE):
        for turn in ("request", "followup-request"):
            if case.get(turn):
                yield f"{name}.{turn}", Operation.CHAT, "openai", msgspec.json.encode(case[turn])


def is_stream(call: recordings.Recorded) -> bool:
    return call.status == 200 and call.answer.lstrip().startswith((b"data:", b":"))


def answers() -> Iterator[tuple[str, bytes]]:
    for call, operation, _ in calls():
        if operation is Operation.CHAT and call.status == 200 and not is_stream(call):
            yield call.name, call.answer
    for name, case in recordings.cases(CASE):
        for turn in ("response", "followup-response"):
            if case.get(turn):
                yield f"{name}.{turn}", msgspec.json.encode(case[turn])


def streams() -> Iterator[tuple[str, bytes]]:
    for call, operation, _ in calls():
        if operation is Operation.CHAT and is_stream(call):
            yield call.name, call.answer
    for name, case in recordings.cases(CASE):
        for turn in ("response-streaming", "followup-response-streaming"):
            chunks: list[Any] = case.get(turn) or []
            if chunks:
                events = [b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in chunks]
                yield f"{name}.{turn}", b"".join([*events, b"data: [DONE]\n\n"])


def profile_of(host: str, model: str) -> Profile:
    return CATALOG[host].serving(model).profile if host else Profile()


def same(theirs: Any, ours: Any) -> bool:
    """A lone text part means the same as its text."""
    match theirs, ours:
        case [{"type": "text", "text": text, **others}], str() if not others:
            return text == ours
        case _:
            return theirs == ours


def test_requests_are_written_as_their_hosts_clients_wrote_them() -> None:
    accepted, seen, count = recordings.known_losses("openai"), set[str](), 0
    for name, operation, host, body in requests():
        request = SERVED[operation].decode_request(body)
        encoded = CALLED[operation].encode_request(request, request.model, profile_of(host, request.model))

        found = set(recordings.differences(msgspec.json.decode(body), msgspec.json.decode(encoded.body), same=same))

        assert found <= accepted.keys(), name
        assert encoded.losses == (), name
        seen |= found
        count += 1
    assert seen == accepted.keys()
    assert count > 40


def test_requests_pass_as_bytes_but_for_what_their_hosts_refuse() -> None:
    count = 0
    for name, operation, host, body in requests():
        peeked, way = SERVED[operation].peek(body), IDENTITY[operation]
        profile = profile_of(host, peeked.model)

        assert way.can_pass(body, peeked, profile), name
        spliced, losses = way.splice(body, peeked, peeked.model, profile)

        found = set(recordings.differences(msgspec.json.decode(body), msgspec.json.decode(spliced), same=same))
        assert found <= {"stream_options", "n", "temperature"}, name
        assert losses == (), name
        count += 1
    assert count > 40


def test_answers_are_written_as_the_schema_wants_them() -> None:
    judge, count = recordings.judge(), 0
    for name, body in answers():
        try:
            response = CALLED[Operation.CHAT].decode_response(body, STAMP)
        except UpstreamError as error:
            assert not isinstance(error, Garbled), name
            continue

        written = SERVED[Operation.CHAT].encode_response(response)

        # Words of a host's own (Groq's service tier) stay its own.
        assert set(judge("chat", msgspec.json.decode(written))) <= set(judge("chat", msgspec.json.decode(body))), name
        assert CALLED[Operation.CHAT].decode_response(written, STAMP) == response, name
        assert collect_chat(replay(response)).choices == response.choices, name
        count += 1
    assert count > 15


def decoded(body: bytes, cuts: list[int]) -> tuple[list[Event], UpstreamError | None]:
    decoder = CALLED[Operation.CHAT].stream_decoder(STAMP, Profile(stream_ends_with_done=False))
    events: list[Event] = []
    for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        events += decoder.feed(body[start:end])
    return events + decoder.close(), decoder.failure


def told(events: list[Event]) -> list[dict[str, Any]]:
    encoder = SERVED[Operation.CHAT].stream_encoder(STAMP, True)
    pieces = [encoder.feed([event]) or b"" for event in events]
    texts = b"".join(pieces).split(b"\n\n")
    return [msgspec.json.decode(text[6:]) for text in texts if text and text != b"data: [DONE]"]


def test_streams_are_written_as_the_schema_wants_them_however_they_were_cut() -> None:
    judge, count, chance = recordings.judge(), 0, random.Random(7)
    for name, body in streams():
        events, failure = decoded(body, [])

        for _ in range(CUTS):
            cuts = sorted(chance.sample(range(len(body)), min(9, len(body))))
            again, same_failure = decoded(body, cuts)
            assert again == events, name
            assert type(same_failure) is type(failure), name
        for chunk in told(events):
            assert judge("chunk", chunk) == [], name
        assert failure is not None or isinstance(events[-1], End), name
        count += 1
    assert count > 15


def test_a_stream_amounts_to_the_answer_that_is_written_of_it() -> None:
    judge, count = recordings.judge(), 0
    for name, body in streams():
        events, failure = decoded(body, [])
        if failure is not None:
            continue
        whole = collect_chat(events)

        written = SERVED[Operation.CHAT].encode_response(whole)
        assert judge("chat", msgspec.json.decode(written)) == [], name
        again = CALLED[Operation.CHAT].decode_response(written, STAMP)

        assert SERVED[Operation.CHAT].encode_response(again) == written, name
        count += 1
    assert count > 15


@pytest.mark.parametrize(("owner", "model"), [("mistral", "magistral-medium-latest")])
def test_thinking_in_parts_of_the_content_is_thinking(owner: str, model: str) -> None:
    bodies = [call.answer for call in recordings.recorded(owner) if is_stream(call) and model.encode() in call.answer]
    for body in bodies:
        events, failure = decoded(body, [])
        # Its first piece is an empty text.
        _, thinking, text = collect_chat(events).choices[0].message.content or ()

        assert failure is None
        assert isinstance(thinking, ThinkingPart)
        assert isinstance(text, TextPart)
    assert bodies
