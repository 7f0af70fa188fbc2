"""What tests need to know of our messages: which fields exist, which are set, and arbitrary messages. No cases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import strategies as st

Field = tuple[str, str]
Step = tuple[str, Any]
"""A field's name, and the index or key in it; None where it does not repeat."""

JSON_TEXTS = (
    "{}",
    '{"a":1}',
    '{"seed":null,"temperature":0.0}',
    "[]",
    '"x"',
    "null",
    "[1,2]",
    "{",
    "",
    '{"model":"m"}',
)
MODES = st.integers(min_value=-1, max_value=9)
SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=6),
    FieldDescriptor.TYPE_DOUBLE: st.floats(),
    FieldDescriptor.TYPE_FLOAT: st.floats(width=32),
    FieldDescriptor.TYPE_ENUM: MODES,
    FieldDescriptor.TYPE_INT32: st.integers(min_value=-(2**31), max_value=2**31 - 1),
    FieldDescriptor.TYPE_INT64: st.integers(min_value=-(2**63), max_value=2**63 - 1),
    FieldDescriptor.TYPE_STRING: st.one_of(
        st.sampled_from(JSON_TEXTS), st.sampled_from(["data:image/png;base64,AA==", "data:x", "custom"]), st.text()
    ),
}


def fields_of(root: Descriptor, seen: set[str] | None = None) -> set[Field]:
    """Name every field that a message of this kind can hold, at any depth."""
    seen = set() if seen is None else seen
    if root.full_name in seen or root.full_name == Timestamp.DESCRIPTOR.full_name:
        return set()
    seen.add(root.full_name)
    found = {(root.name, field.name) for field in root.fields if not root.GetOptions().map_entry}
    return found.union(*(fields_of(field.message_type, seen) for field in root.fields if field.message_type))


def set_fields(message: Message) -> set[Field]:
    """Name every field that is set in a message, at any depth."""
    return {
        (_at(message, path[:-1]).DESCRIPTOR.name, path[-1][0]) for path in paths(message) if path[-1][0] != "seconds"
    }


def paths(message: Message) -> Iterator[tuple[Step, ...]]:
    """Give the way to every value that is set."""
    for field, value in message.ListFields():
        if _is_map(field):
            yield from (((field.name, key),) for key in value)
        else:
            items = list(enumerate(value)) if field.is_repeated else [(None, value)]
            for index, item in items:
                step = (field.name, index)
                yield (step,)
                if field.message_type:
                    yield from ((step, *rest) for rest in paths(item))


def without(message: Message, path: tuple[Step, ...]) -> Any:
    """Copy a message without one value."""
    copy = type(message)()
    copy.CopyFrom(message)
    name, index = path[-1]
    parent = _at(copy, path[:-1])
    if index is None:
        parent.ClearField(name)
    else:
        del getattr(parent, name)[index]
    return copy


def _at(message: Any, path: tuple[Step, ...]) -> Any:
    for name, index in path:
        value = getattr(message, name)
        message = value if index is None else value[index]
    return message


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def messages(kind: type[Message]) -> st.SearchStrategy[Any]:
    """Make arbitrary messages of a kind, most of them wrong somewhere."""
    return _fillings(kind.DESCRIPTOR).map(lambda filling: kind(**filling))


def _fillings(kind: Descriptor) -> st.SearchStrategy[dict[str, Any]]:
    loose = [
        field for field in kind.fields if field.containing_oneof is None or len(field.containing_oneof.fields) == 1
    ]
    parts = [st.fixed_dictionaries({}, optional={field.name: _values(field) for field in loose})]
    for oneof in kind.oneofs:
        if len(oneof.fields) > 1:
            arms = [st.fixed_dictionaries({field.name: _values(field)}) for field in oneof.fields]
            parts.append(st.one_of(st.just({}), *arms))
    return st.tuples(*parts).map(lambda dicts: {name: value for part in dicts for name, value in part.items()})


def _values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if _is_map(field):
        return st.dictionaries(
            st.text(max_size=3), SCALARS[field.message_type.fields_by_name["value"].type], max_size=2
        )
    kind = field.message_type
    one = SCALARS[field.type] if kind is None else st.deferred(lambda: _fillings(kind))
    return st.lists(one, max_size=3) if field.is_repeated else one
