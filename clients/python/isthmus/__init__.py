"""The light client of Isthmus: generated stubs and a little on top. Not the gateway: that is `isthmusd`."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from isthmus.client import AsyncClient, Client
    from isthmus.failure import Failure, Violation, error_of
    from isthmus.text import assistant, async_texts_of, message, system, text_of, texts_of, user
    from isthmus.whole import Collector, async_whole_of, whole_of

_HOMES = {
    "isthmus.client": ("AsyncClient", "Client"),
    "isthmus.failure": ("Failure", "Violation", "error_of"),
    "isthmus.text": ("assistant", "async_texts_of", "message", "system", "text_of", "texts_of", "user"),
    "isthmus.whole": ("Collector", "async_whole_of", "whole_of"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AsyncClient",
    "Client",
    "Collector",
    "Failure",
    "Violation",
    "assistant",
    "async_texts_of",
    "async_whole_of",
    "error_of",
    "message",
    "system",
    "text_of",
    "texts_of",
    "user",
    "whole_of",
]


def __getattr__(name: str) -> object:
    """Load on first use: `import isthmus.v1.chat_pb2` must not pull in grpc where only messages are wanted."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'isthmus' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
