"""The turns of a conversation as Converse takes them. What is said in them is `messages.py`.

Converse wants turns that alternate and begin with the user's, the results of parallel tool calls together at the head
of the user's turn after them, and a text beside every document. What else may stand beside results, and where a cache
point may, differs between the models' makers.
Sources: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html,
https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html
"""

from __future__ import annotations

from dataclasses import dataclass, field

from isthmusd.core.request import Loss
from isthmusd.dialects.bedrock.families import Family
from isthmusd.dialects.bedrock.marks import Block

FILLER = "."
"""Says as little as a turn can: Converse refuses blank ones."""

CONTINUE = "Continue."
"""Asks for what follows a text that the model does not continue unasked."""

RESULT = "toolResult"
_CALLS = ("toolUse", RESULT)
_POINT = "cachePoint"


@dataclass(slots=True)
class Turn:
    """What one side says before the other does."""

    role: str
    content: list[Block]

    def has(self, *kinds: str) -> bool:
        """Tell whether a block of one of these kinds is in the turn."""
        return any(kind in block for block in self.content for kind in kinds)


@dataclass(slots=True)
class Conversation:
    """What a request's messages amount to."""

    system: list[Block] = field(default_factory=list[Block])
    turns: list[Turn] = field(default_factory=list[Turn])
    called: list[str] = field(default_factory=list[str])
    """Names of the tools that were called in it."""

    @property
    def has_tools(self) -> bool:
        """Whether tool calls or results are in it: Converse then wants tools declared."""
        return any(turn.has(*_CALLS) for turn in self.turns)

    @property
    def resumes_unsigned(self) -> bool:
        """Whether it ends in results of calls that stand without the thinking before them."""
        match self.turns:
            case [*_, asked, answered] if answered.has(RESULT):
                return not asked.has("reasoningContent")
            case _:
                return False

    def add(self, role: str, blocks: list[Block]) -> None:
        """Add to the turn that runs, or begin one."""
        if not blocks:
            return
        if self.turns and self.turns[-1].role == role:
            self.turns[-1].content += blocks
        else:
            self.turns.append(Turn(role, blocks))

    def settle(self, family: Family, losses: list[Loss]) -> None:
        """Make turns that Converse takes, once all is said."""
        self._open(losses)
        self.turns = [settled for turn in self.turns for settled in _apart(turn, family, losses)]
        for turn in self.turns:
            turn.content = _with_points_settled(turn, family, losses)
            if turn.has("document") and not turn.has("text"):
                turn.content.insert(0, {"text": FILLER})
        self._close(family, losses)

    def written(self) -> list[Block]:
        """Give the turns as Converse has them."""
        return [{"role": turn.role, "content": turn.content} for turn in self.turns]

    def _open(self, losses: list[Loss]) -> None:
        if not self.turns:
            # Instructions alone are a question to OpenAI's models, and so is an empty text.
            self.turns.append(Turn("user", [{"text": FILLER}]))
            losses.append(Loss(field="messages", reason="Bedrock wants a user's turn: an empty one was added"))
        elif self.turns[:1] and self.turns[0].role == "assistant":
            self.turns.insert(0, Turn("user", [{"text": FILLER}]))
            losses.append(Loss(field="messages", reason="Bedrock wants the user's turn first: one was added"))

    def _close(self, family: Family, losses: list[Loss]) -> None:
        match self.turns:
            case [*_, Turn(role="assistant") as last] if not family.continues and not last.has("toolUse"):
                reason = "the model answers the user's turns only: it was asked to continue"
                losses.append(Loss(field="messages", reason=reason))
                self.turns.append(Turn("user", [{"text": CONTINUE}]))
            case [*_, Turn(role="assistant", content=[*_, {"text": str(text)} as last])] if text != text.rstrip():
                reason = "models refuse white space at the end of a text to continue: it was left out"
                losses.append(Loss(field="messages[-1].content", reason=reason))
                last["text"] = text.rstrip()
            case _:
                pass


def _apart(turn: Turn, family: Family, losses: list[Loss]) -> list[Turn]:
    """Put results of tools at the head of their turn, and what may not stand beside them into a turn of its own."""
    if turn.role != "user" or not turn.has(RESULT):
        return [turn]
    last = max(place for place, block in enumerate(turn.content) if RESULT in block)
    ahead = [block for block in turn.content[:last] if RESULT not in block and _POINT not in block]
    results = [block for block in turn.content[: last + 1] if RESULT in block or _POINT in block]
    # A point behind the last result marks it.
    after = turn.content[last + 1 :]
    marks = [block for block in after[:1] if _POINT in block]
    results, others = results + marks, ahead + after[len(marks) :]
    kinds = {kind for block in others for kind in block if kind != _POINT}
    if not kinds or family.beside_results is None or kinds <= family.beside_results:
        return [Turn("user", results + others)]
    reason = "the model wants results of tools apart from what the user says then: a turn was put between them"
    losses.append(Loss(field="messages", reason=reason))
    return [Turn("user", results), Turn("assistant", [{"text": FILLER}]), Turn("user", others)]


def _with_points_settled(turn: Turn, family: Family, losses: list[Loss]) -> list[Block]:
    """Leave out points where there is nothing to mark or the model takes none, and put those behind a document that is
    no PDF, which Bedrock cannot translate for Claude, before it."""
    if not turn.has(_POINT):
        return turn.content
    bars = not family.caches_tools and turn.has(*_CALLS)
    settled: list[Block] = []
    place = 0
    """Behind the last block that a point may follow."""
    lost = False
    for block in turn.content:
        if _POINT not in block:
            settled.append(block)
            place = place if _is_unmarkable(block) else len(settled)
        elif bars or place == 0:
            lost = True
        elif _POINT not in settled[place - 1]:
            settled.insert(place, block)
            place += 1
    if lost:
        losses.append(Loss(field="messages", reason="the model takes no cache point there: it was left out"))
    return settled


def _is_unmarkable(block: Block) -> bool:
    match block:
        case {"document": {"format": "pdf"}}:
            return False
        case _:
            return "document" in block
