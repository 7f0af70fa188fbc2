"""A bounded memory of what was worked out for tokens. When something in it ends is its owner's business."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Remembered(Generic[Value]):
    """The values of the latest names. Names are digests of whole tokens: no two tokens share one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[bytes, Value] = OrderedDict()

    def get(self, name: bytes) -> Value | None:
        """Give a value that is still remembered."""
        value = self._values.get(name)
        if value is not None:
            self._values.move_to_end(name)
        return value

    def put(self, name: bytes, value: Value) -> None:
        """Remember a value, and forget the one that was not asked for the longest."""
        self._values[name] = value
        self._values.move_to_end(name)
        if len(self._values) > self._most:
            self._values.popitem(last=False)

    def forget(self, name: bytes) -> None:
        """Forget one."""
        self._values.pop(name, None)

    def clear(self) -> None:
        """Forget all."""
        self._values.clear()


def fingerprint(token: str) -> bytes:
    """Name a whole token."""
    return hashlib.sha256(token.encode()).digest()
