"""Comments of a provider on their way past the tap."""

from __future__ import annotations

from isthmusd.core.profile import Profile
from isthmusd.core.request import Operation, Peeked
from isthmusd.dialects.openai.identity import OpenAIIdentity
from isthmusd.dialects.openai.tap import MAX_HELD, Tap

COMMENT = b": PROCESSING\n\n"
EVENT = b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'


def tap() -> Tap:
    peeked = Peeked(model="m", stream=True, include_usage=True)
    return OpenAIIdentity(operation=Operation.CHAT).tap(peeked, 10, Profile())


def test_comments_wait_for_the_first_event_so_that_another_target_may_still_answer() -> None:
    relay = tap()

    assert relay.feed(COMMENT) is None
    assert relay.feed(COMMENT) is None
    assert relay.feed(EVENT) == COMMENT + COMMENT + EVENT
    assert relay.feed(COMMENT) == COMMENT


def test_comments_that_never_end_are_not_kept_for_ever() -> None:
    relay = tap()
    for _ in range(MAX_HELD):
        assert relay.feed(COMMENT) is None

    piece = relay.feed(EVENT)

    assert piece is not None
    assert piece.endswith(EVENT)
    assert len(piece) <= MAX_HELD + len(EVENT)
