"""How many tools of a request can be strict: Anthropic refuses requests whose strict schemas are too many or too loose,
while OpenAI's clients make every function strict. What a strict schema may say is `schema.py`.

Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs#schema-complexity-limits
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from isthmusd.core.chat import JsonText

MAX_TOOLS = 20
MAX_OPTIONAL = 24
MAX_UNIONS = 16
"""All counted over the strict tools of a request."""

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None

_UNIONS = ("anyOf", "oneOf")


@dataclass(slots=True)
class StrictBudget:
    """What is left for the tools of one request."""

    tools: int = MAX_TOOLS
    optional: int = MAX_OPTIONAL
    """Parameters that need not be given."""
    unions: int = MAX_UNIONS
    """Parameters of several types."""

    def spend(self, schema: JsonText) -> bool:
        """Take a tool's share; False if it is too large, and nothing is taken."""
        optional, unions = _looseness(schema)
        left = self.tools - 1, self.optional - optional, self.unions - unions
        if min(left) < 0:
            return False
        self.tools, self.optional, self.unions = left
        return True


def _looseness(schema: JsonText) -> tuple[int, int]:
    """Count the optional parameters of a schema and those of several types, however deep."""
    try:
        waiting: list[Json] = [msgspec.json.decode(schema)]
    except (msgspec.DecodeError, RecursionError):
        return 0, 0
    optional = unions = 0
    while waiting:
        match waiting.pop():
            case dict() as node:
                optional += _optional(node)
                unions += isinstance(node.get("type"), list) or any(name in node for name in _UNIONS)
                waiting += node.values()
            case list() as items:
                waiting += items
            case _:
                pass
    return optional, unions


def _optional(node: dict[str, Json]) -> int:
    match node:
        case {"properties": dict() as properties, "required": list() as required}:
            return len(properties.keys() - {name for name in required if isinstance(name, str)})
        case {"properties": dict() as properties}:
            return len(properties)
        case _:
            return 0
