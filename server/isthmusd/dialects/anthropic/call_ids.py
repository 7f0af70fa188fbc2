"""Ids of tool calls as Anthropic takes them: present, of its alphabet, and unique within the request.

Source: https://platform.claude.com/docs/en/api/messages (`tool_use.id`, pattern `^[a-zA-Z0-9_-]+$`). Some servers
whose answers are in a history write no ids, or the same ones in every turn.
"""

from __future__ import annotations

import re
import zlib

_FOREIGN = re.compile(r"[^a-zA-Z0-9_-]")


class CallIds:
    """Serves one request, turn by turn: `open` at each assistant turn, then its calls, then their results."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._numbers: dict[str, int] = {}
        """Id that was wanted to the last number that was put behind it."""
        self._turn = 0
        self._unanswered: dict[str, list[str]] = {}
        """Id as the history has it (empty: none) to the written ids of this turn's calls without a result."""

    def open(self) -> None:
        """Begin the calls of an assistant's turn."""
        self._turn += 1
        self._unanswered = {}

    def of_call(self, call_id: str) -> str:
        """Give the id to write for a call."""
        wanted = _lettered(call_id) or f"call_{self._turn}"
        free, number = wanted, self._numbers.get(wanted, 1)
        while free in self._used:
            number += 1
            free = f"{wanted}_{number}"
        self._numbers[wanted] = number
        self._used.add(free)
        self._unanswered.setdefault(call_id, []).append(free)
        return free

    def of_result(self, call_id: str | None) -> str:
        """Give the id to write for a result. One that names no call, or whose call has no name, answers the first
        call of that kind that has no result yet."""
        told = call_id or ""
        for waiting in (self._unanswered.get(told), self._unanswered.get("")):
            if waiting:
                return waiting.pop(0)
        if not told:
            for waiting in self._unanswered.values():
                if waiting:
                    return waiting.pop(0)
        return _lettered(told) or f"call_{self._turn}"


def _lettered(call_id: str) -> str:
    """Replace what Anthropic refuses; the checksum keeps ids apart that differ in nothing else."""
    if not _FOREIGN.search(call_id):
        return call_id
    return f"{_FOREIGN.sub('_', call_id)}_{zlib.crc32(call_id.encode()):08x}"
