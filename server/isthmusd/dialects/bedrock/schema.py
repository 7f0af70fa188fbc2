"""Schemas of tools as Converse takes them: of an object, which the models of some makers want without alternatives at
the top. What is below the top passes as it was written.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolInputSchema.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from isthmusd.core.chat import JsonText
from isthmusd.core.request import Loss
from isthmusd.dialects.bedrock.families import Family
from isthmusd.dialects.bedrock.marks import Block

Schema = dict[str, Any]

NO_PARAMETERS: Block = {"type": "object", "properties": {}}

_BRANCHES = ("allOf", "anyOf", "oneOf")
_MAX_DEPTH = 8
"""Of branches within branches."""

_LOCAL = ("#/$defs/", "#/definitions/")


def object_schema(parameters: JsonText | None, path: str, family: Family, losses: list[Loss]) -> object:
    """Write the schema of a tool's parameters."""
    if parameters is None:
        return NO_PARAMETERS
    try:
        members = msgspec.json.decode(parameters, type=dict[str, msgspec.Raw])
        kind = msgspec.json.decode(members["type"]) if "type" in members else None
        branches = not family.schemas_may_branch and any(name in members for name in _BRANCHES)
        schema: Schema = msgspec.json.decode(parameters) if branches else {}
    except (msgspec.DecodeError, RecursionError):
        losses.append(Loss(field=path, reason="Bedrock takes the schema of an object only"))
        return NO_PARAMETERS
    match kind:
        case "object":
            typed: Block = {**members}
        case None:
            typed = {"type": "object", **members}
        case [*kinds] if "object" in kinds:
            losses.append(Loss(field=f"{path}.type", reason="Bedrock takes the schema of an object only"))
            typed = {**members, "type": "object"}
        case _:
            losses.append(Loss(field=path, reason="Bedrock takes the schema of an object only"))
            return NO_PARAMETERS
    if branches:
        return _unbranched(schema, path, losses)
    return msgspec.Raw(parameters) if kind == "object" else typed


def _unbranched(schema: Schema, path: str, losses: list[Loss]) -> Block:
    """Merge the alternatives: all their properties may be given, and those must be that all of them demand."""
    found = next(name for name in _BRANCHES if name in schema)
    losses.append(Loss(field=f"{path}.{found}", reason="the model takes no alternatives there: they were merged"))
    merged = _Merger(schema).merge(schema)
    kept = {name: value for name, value in schema.items() if name not in (*_BRANCHES, "properties", "required", "type")}
    needed = {"required": sorted(merged.required)} if merged.required else {}
    return {"type": "object", "properties": merged.properties, **needed, **kept}


@dataclass(frozen=True, slots=True)
class _Merged:
    """What an object may hold, and what it must."""

    properties: Schema
    required: set[str]


@dataclass(frozen=True, slots=True)
class _Merger:
    """Merges one schema. References may go round in circles: each is followed once."""

    root: Schema
    followed: set[str] = field(default_factory=set[str])

    def merge(self, schema: Schema, depth: int = 0) -> _Merged:
        """Give what a schema and its branches say."""
        merged = _Merged(_object(schema.get("properties")), _texts(schema.get("required")))
        if depth == _MAX_DEPTH:
            return merged
        for name in _BRANCHES:
            branches = [self.merge(self._resolved(branch), depth + 1) for branch in _items(schema.get(name))]
            for branch in branches:
                merged = _Merged({**branch.properties, **merged.properties}, merged.required)
            demanded = [branch.required for branch in branches]
            if demanded:
                common = set[str].union(*demanded) if name == "allOf" else set[str].intersection(*demanded)
                merged = _Merged(merged.properties, merged.required | common)
        return merged

    def _resolved(self, branch: Any) -> Schema:
        match branch:
            case {"$ref": str(reference)} if reference.startswith(_LOCAL) and reference not in self.followed:
                self.followed.add(reference)
                _, place, name = reference.split("/", 2)
                return _object(_object(self.root.get(place)).get(name))
            case _:
                return _object(branch)


def _items(value: Any) -> list[Any]:
    match value:
        case [*found]:
            return found
        case _:
            return []


def _object(value: Any) -> Schema:
    match value:
        case dict():
            return cast("Schema", value)
        case _:
            return {}


def _texts(value: Any) -> set[str]:
    match value:
        case [*names]:
            return {name for name in names if type(name) is str}
        case _:
            return set()
