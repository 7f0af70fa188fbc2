"""Whatever a caller asks, something valid is sent, and what is missing from it is said."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from isthmusd.core.chat import ChatRequest
from isthmusd.core.profile import Profile, Thinking

from tests.unit.dialects.openai.values import chat_requests
from tests.unit.dialects_gemini.asking import CHAT, asked

PROFILES = [
    Profile(),
    Profile(thinking=Thinking.LEVEL, fetches=frozenset(), accepts_tool_call_ids=False),
    Profile(thinking=Thinking.NONE),
]


@given(chat_requests(), st.sampled_from(PROFILES), st.sampled_from(["gemini-3-pro", "gemini-2.5-flash"]))
def test_every_request_can_be_written(request: ChatRequest, profile: Profile, model: str) -> None:
    encoded = CHAT.encode_request(request, model, profile)

    body = msgspec.json.decode(encoded.body)
    assert body["contents"]
    assert all(turn["parts"] and turn["role"] in {"user", "model"} for turn in body["contents"])
    assert all(loss.field and loss.reason for loss in encoded.losses)
    assert CHAT.encode_request(request, model, profile) == encoded


@pytest.mark.parametrize("name", ["thinking", "cache_control", "functions", "web_search", "stream_options"])
def test_members_of_other_providers_are_losses(name: str) -> None:
    assert asked(**{name: {"novel": 1}}).losses == (name,)
