"""Where a model's methods are, below the provider's base URL, and how Google spells names. It sends nothing.

Source: https://ai.google.dev/api/all-methods
"""

from __future__ import annotations

from urllib.parse import quote

_COLLECTIONS = ("models/", "tunedModels/")


def resource_name(model: str) -> str:
    """Give a model's full name; one that names its collection keeps it."""
    return model if model.startswith(_COLLECTIONS) else f"models/{model}"


def method_path(model: str, method: str) -> str:
    """Give the path of a method of a model."""
    collection, _, name = resource_name(model).partition("/")
    return f"/{collection}/{quote(name, safe='@')}:{method}"


def camel(name: str) -> str:
    """Write a name as Google's JSON does; its servers read snake_case too
    (https://protobuf.dev/programming-guides/json/), so callers write either."""
    first, *others = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in others)
