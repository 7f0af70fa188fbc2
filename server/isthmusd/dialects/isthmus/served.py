"""The dialect's table: who serves which operation. Our own API has no called half: no provider speaks it."""

from __future__ import annotations

from isthmusd.core.request import Operation
from isthmusd.dialects.base import Served
from isthmusd.dialects.isthmus.chat import ChatServed
from isthmusd.dialects.isthmus.completion import CompletionServed
from isthmusd.dialects.isthmus.embedding import EmbeddingServed

SERVED: dict[Operation, Served] = {
    Operation.CHAT: ChatServed(),
    Operation.COMPLETION: CompletionServed(),
    Operation.EMBEDDING: EmbeddingServed(),
}
