"""A kept stream of a completion, put together to the whole answer that it amounts to. The way back is `streamed.py`'s.

What a chat model streamed beside text, which whole completions have no word for, goes to the members of its choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from isthmus.v1 import completion_pb2 as pb
from isthmus.v1.stream_pb2 import ChoiceEnd, RawDelta, TextDelta

from isthmusd.dialects.isthmus.fields import join, member, merge, split
from isthmusd.dialects.isthmus.whole import Members, gathered, members_of

_HEAD = ("created", "system_fingerprint")
_GROWING = frozenset({"reasoning_content", "refusal"})
"""Members that streams of completions give in pieces to be joined."""


def whole_completion(chunks: Iterable[pb.CompletionChunk]) -> pb.CompletionResponse:
    """Give the whole answer. Raises UnsupportedFeature for steps of another version, and what `UNWRITABLE` lists."""
    top, choices = gathered(chunks, _STEPS, _Choice)
    start = top.start
    tier = member("service_tier", start.service_tier if start.HasField("service_tier") else None)
    whole = pb.CompletionResponse(**top.fields(_HEAD, tier))
    for index, choice in choices:
        choice.write(index, whole.choices.add())
    return whole


@dataclass(slots=True)
class _Choice:
    """One choice under construction."""

    texts: list[str] = field(default_factory=list[str])
    logprobs: list[pb.CompletionLogprobs] = field(default_factory=list[pb.CompletionLogprobs])
    members: Members = field(default_factory=lambda: Members(growing=_GROWING))
    end: ChoiceEnd = field(default_factory=ChoiceEnd)

    def add_text(self, delta: TextDelta) -> None:
        self.texts.append(delta.text)

    def add_logprobs(self, delta: pb.CompletionLogprobsDelta) -> None:
        self.logprobs.append(delta.logprobs)

    def add_raw(self, raw: RawDelta) -> None:
        self.members.add(split(raw.json))

    def finish(self, end: ChoiceEnd) -> None:
        self.end = end

    def write(self, index: int, wire: pb.CompletionChoice) -> None:
        """Fill in the choice."""
        end = self.end
        wire.index, wire.text = index, "".join(self.texts)
        wire.finish_reason, wire.native_finish_reason = end.finish_reason, end.native_finish_reason
        odd_logprobs = self.members.take("logprobs")
        wire.extra_json = join(merge(self.members.extra(), members_of(end.extra_json), odd_logprobs))
        if self.logprobs:
            self._write_logprobs(wire.logprobs)

    def _write_logprobs(self, wire: pb.CompletionLogprobs) -> None:
        wire.SetInParent()
        extra = Members()
        for piece in self.logprobs:
            wire.tokens.extend(piece.tokens)
            extra.add(members_of(piece.extra_json))
        wire.extra_json = join(extra.extra())


_STEPS: Mapping[str, Callable[[_Choice, Any], None]] = {
    "text_delta": _Choice.add_text,
    "logprobs_delta": _Choice.add_logprobs,
    "raw_json": _Choice.add_raw,
    "choice_end": _Choice.finish,
}
