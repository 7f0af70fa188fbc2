"""The message of an answer while it is put together, from a whole body or from a stream: the same rules for both.

Where the text of each block begins is noted for the citations that point at it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from isthmusd.core.chat import Extra, JsonText
from isthmusd.dialects.cohere.citations import citations_extra
from isthmusd.dialects.cohere.messages import PLAN

NO_ARGUMENTS, NULL = "{}", "null"


@dataclass(slots=True)
class Answer:
    """What is known of the message beside its parts and calls."""

    plan: list[str] = field(default_factory=list[str])
    citations: list[msgspec.Raw] = field(default_factory=list[msgspec.Raw])
    text_starts: dict[int, int] = field(default_factory=dict[int, int])
    text_length: int = 0

    def begin_block(self, index: int) -> None:
        """Note where the text of a block would begin."""
        self.text_starts[index] = self.text_length

    def extra(self) -> Extra:
        """Give the members that the hub has no field for."""
        plan = "".join(self.plan)
        kept = ((PLAN, JsonText(msgspec.json.encode(plan).decode())),) if plan else ()
        return (*kept, *citations_extra(self.citations, self.text_starts))


def call_id(stamp_id: str, index: int) -> str:
    """Make an id for a tool call that came without one: callers must be able to name it in their next turn."""
    return f"call_{stamp_id}_{index}"


def arguments_of(written: str) -> str:
    """Give a call's arguments. Where a tool has none, Cohere writes nothing or null now and then
    (https://github.com/vercel/ai/pull/4755), which no caller can use."""
    return NO_ARGUMENTS if written.strip() in ("", NULL) else written


def may_be_null(written: str) -> bool:
    """Tell whether arguments whose beginning this is may be such ones."""
    return NULL.startswith(written.strip())
