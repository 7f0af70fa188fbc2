"""Messages from text and text from answers. Not for other parts: those are plain protobuf."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator

from isthmus.v1.chat_pb2 import ChatResponse, Message, Part
from isthmus.v1.chat_stream_pb2 import ChatChunk
from isthmus.v1.completion_pb2 import CompletionChunk, CompletionResponse


def message(role: str, text: str) -> Message:
    """Build a message of one text."""
    return Message(role=role, parts=[Part(text=text)])


def system(text: str) -> Message:
    """Build a system message of one text."""
    return message("system", text)


def user(text: str) -> Message:
    """Build a user message of one text."""
    return message("user", text)


def assistant(text: str) -> Message:
    """Build an assistant message of one text."""
    return message("assistant", text)


def text_of(response: ChatResponse | CompletionResponse, choice: int = 0) -> str:
    """Join the text of one choice; thinking and refusals are no text. Without such a choice it is empty."""
    match response:
        case ChatResponse():
            parts = (part for own in response.choices if own.index == choice for part in own.message.parts)
            return "".join(part.text for part in parts)
        case CompletionResponse():
            return "".join(own.text for own in response.choices if own.index == choice)


def texts_of(chunks: Iterable[ChatChunk | CompletionChunk], choice: int = 0) -> Iterator[str]:
    """Yield the text of one choice of a stream, piece by piece."""
    for chunk in chunks:
        yield from _texts(chunk, choice)


async def async_texts_of(chunks: AsyncIterable[ChatChunk | CompletionChunk], choice: int = 0) -> AsyncIterator[str]:
    """Yield the text of one choice of a stream, piece by piece, for asyncio."""
    async for chunk in chunks:
        for text in _texts(chunk, choice):
            yield text


def _texts(chunk: ChatChunk | CompletionChunk, choice: int) -> Iterator[str]:
    # An event of another kind has an empty text_delta, which is skipped with the empty ones.
    for event in chunk.events:
        if event.text_delta.choice == choice and event.text_delta.text:
            yield event.text_delta.text
