"""Ids of tool calls as every model behind Converse takes them, and unlike each other within a request.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolUseBlock.html. Claude takes fewer
characters than Converse. Histories of other servers may have no ids, or the same ones in every turn.
"""

from __future__ import annotations

import hashlib
import re

_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")
_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")


class CallIds:
    """Serves one request, turn by turn: `open` at each turn of the model, then its calls, then their results."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._numbers: dict[str, int] = {}
        """Id to the last number that was put behind it."""
        self._turn = 0
        self._waiting: dict[str, list[str]] = {}
        """Id as the history has it to the written ids of this turn's calls that have no result yet."""

    def open(self) -> None:
        """Begin the calls of a turn."""
        self._turn += 1
        self._waiting = {}

    def of_call(self, call_id: str) -> str:
        """Give the id to write for a call."""
        wanted = tool_use_id(call_id) if call_id else f"call_{self._turn}"
        free = wanted
        while free in self._used:
            number = self._numbers[wanted] = self._numbers.get(wanted, 1) + 1
            free = f"{wanted[:56]}_{number}"
        self._used.add(free)
        self._waiting.setdefault(call_id, []).append(free)
        return free

    def of_result(self, call_id: str | None) -> str:
        """Give the id to write for a result. One that names no known call answers the first that waits for one without
        a name or, if it names none, the first that waits at all."""
        told = call_id or ""
        names = (told, "") if told else ("", *self._waiting)
        for name in names:
            waiting = self._waiting.get(name)
            if waiting:
                return waiting.pop(0)
        return tool_use_id(told) if told else f"call_{self._turn}"


def tool_use_id(call_id: str) -> str:
    """Give an id as Converse allows it: the same for the same one, different for different ones."""
    if _ID.match(call_id):
        return call_id
    digest = hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{_NOT_IN_IDS.sub('_', call_id)[:48]}_{digest}"
