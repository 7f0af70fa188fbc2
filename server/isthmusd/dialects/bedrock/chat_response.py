"""Converse's whole answer to the hub's. The streamed one is `chat_stream.py`, what both share `answer.py`.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_ResponseSyntax
"""

from __future__ import annotations

import msgspec

from isthmusd.core.call import Stamp
from isthmusd.core.chat import ChatResponse
from isthmusd.core.collect import collect_chat
from isthmusd.dialects.bedrock.answer import SERVER_TOOL, Answer
from isthmusd.framing.failures import answer_fault
from isthmusd.framing.fields import Fields, json_text, kind_of, read_text

_NO_INPUT = msgspec.Raw(b"{}")


class _Use(msgspec.Struct, rename="camel"):
    tool_use_id: str
    name: str
    input: msgspec.Raw = _NO_INPUT
    type: str | None = None


class _ReasoningText(msgspec.Struct):
    text: str = ""
    signature: str | None = None


class _Reasoning(msgspec.Struct, rename="camel"):
    reasoning_text: _ReasoningText = msgspec.field(default_factory=_ReasoningText)
    redacted_content: str | None = None


class _Text(msgspec.Struct):
    text: str = ""


class _Cited(msgspec.Struct):
    content: list[_Text] = msgspec.field(default_factory=list[_Text])
    citations: list[msgspec.Raw] = msgspec.field(default_factory=list[msgspec.Raw])


class _Source(msgspec.Struct):
    bytes: str | None = None


class _Image(msgspec.Struct):
    format: str | None = None
    source: _Source = msgspec.field(default_factory=_Source)


class _Block(msgspec.Struct, rename="camel"):
    text: str | None = None
    tool_use: _Use | None = None
    reasoning_content: _Reasoning | None = None
    citations_content: _Cited | None = None
    image: _Image | None = None


_BLOCK = msgspec.json.Decoder(_Block)


def decode_chat_response(body: bytes, stamp: Stamp) -> ChatResponse:
    """Read a whole answer. Raises Garbled."""
    fields = Fields.of(body, "", answer_fault)
    message = fields.required_object("output").required_object("message")
    answer = Answer(stamp)
    answer.start(message.text("role") or "assistant")
    try:
        for raw in message.items("content") or ():
            _take_block(_BLOCK.decode(raw), answer)
            answer.close_block()
        answer.stop(fields.text("stopReason") or "end_turn")
        answer.account(fields)
        answer.finish()
    except (msgspec.DecodeError, RecursionError) as error:
        raise answer_fault(f"{error}.", "") from error
    return collect_chat(answer.take())


def _take_block(block: _Block, answer: Answer) -> None:
    match block:
        case _Block(text=str(text)):
            answer.text(text)
        case _Block(tool_use=_Use(type=kind) as use):
            if kind != SERVER_TOOL:
                answer.open_call(use.tool_use_id, use.name)
                answer.argue(_arguments(use.input))
        case _Block(reasoning_content=_Reasoning(reasoning_text=thought, redacted_content=redacted)):
            answer.think(thought.text)
            answer.sign(thought.signature or "", redacted or "")
        case _Block(citations_content=_Cited(content=texts, citations=citations)):
            for text in texts:
                answer.text(text.text)
            for citation in citations:
                answer.cite(citation)
        case _Block(image=_Image(format=form, source=source)):
            answer.draw(form, source.bytes or "")
        case _:
            # A kind that a caller can do nothing with: `answer.py` says why.
            pass


def _arguments(given: msgspec.Raw) -> str:
    """Give an input's text; a string is what a model wrote that is no JSON."""
    match kind_of(given):
        case "a string":
            return read_text(given, "input", answer_fault)
        case "null":
            return ""
        case _:
            return json_text(given)
