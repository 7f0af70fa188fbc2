"""Answers of providers as bytes, for measuring how fast they are translated: plausible, not complete, for tests hold
the formats.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from zlib import crc32

import msgspec

CHUNK_COUNT: Final = 200
WORD: Final = " isthmus"
PIECE: Final = '\\"key\\":7,'
_CALL: Final = "call_9pw1qnYScqvGrCH58HWCvFH6"
_SIGNED: Final = "EqQBCkYIBRgCKkBz" * 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """One provider's format. Each kind of stream is its first events, one event many times, and its last events."""

    dialect: str
    model: str
    whole: bytes
    text: tuple[bytes, bytes, bytes]
    thinking: tuple[bytes, bytes, bytes]
    arguments: tuple[bytes, bytes, bytes] | None
    """None: calls come whole."""

    def kinds(self) -> dict[str, tuple[bytes, bytes, bytes]]:
        """Give the streams by name."""
        named = {"text": self.text, "thinking": self.thinking}
        return named if self.arguments is None else {**named, "arguments": self.arguments}


def _named(kind: str, rest: str) -> bytes:
    return f'event: {kind}\ndata: {{"type":"{kind}"{rest}}}\n\n'.encode()


def _frame(kind: str, json: str) -> bytes:
    named = ((":event-type", kind), (":content-type", "application/json"), (":message-type", "event"))
    head = b"".join(
        bytes((len(name),)) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in named
    )
    lengths = struct.pack(">II", 16 + len(head) + len(json), len(head))
    message = lengths + struct.pack(">I", crc32(lengths)) + head + json.encode()
    return message + struct.pack(">I", crc32(message))


def _anthropic() -> Wire:
    usage = '"usage":{"input_tokens":41,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":%d}'
    about = '"id":"msg_01XFDUDYJgAACzvnptvVoYEL","type":"message","role":"assistant","model":"claude-sonnet-4-5"'
    start = _named("message_start", f',"message":{{{about},"content":[],"stop_reason":null,{usage % 1}}}')
    opened = ',"index":0,"content_block":'
    stop = _named("content_block_stop", ',"index":0')
    last = f',"delta":{{"stop_reason":"end_turn","stop_sequence":null}},{usage % 200}'
    end = stop + _named("message_delta", last) + _named("message_stop", "")

    def delta(kind: str, member: str, value: str) -> bytes:
        return _named("content_block_delta", f',"index":0,"delta":{{"type":"{kind}","{member}":"{value}"}}')

    def block(json: str) -> bytes:
        return start + _named("content_block_start", opened + json) + _named("ping", "")

    tool = f'{{"type":"tool_use","id":"{_CALL}","name":"get_weather","input":{{}}}}'
    text = f'{{"type":"text","text":"{WORD * CHUNK_COUNT}"}}'
    return Wire(
        dialect="anthropic",
        model="claude-sonnet-4-5",
        whole=f'{{{about},"content":[{text}],"stop_reason":"end_turn","stop_sequence":null,{usage % 200}}}'.encode(),
        text=(block('{"type":"text","text":""}'), delta("text_delta", "text", WORD), end),
        thinking=(
            block('{"type":"thinking","thinking":"","signature":""}'),
            delta("thinking_delta", "thinking", WORD),
            delta("signature_delta", "signature", _SIGNED) + end,
        ),
        arguments=(block(tool), delta("input_json_delta", "partial_json", PIECE), end),
    )


def _gemini() -> Wire:
    tail = '"modelVersion":"gemini-2.5-flash","responseId":"jpQGaYa4Mry3qtsP5ZCZ6Ag"'
    usage = '"usageMetadata":{"promptTokenCount":41,"candidatesTokenCount":200,"totalTokenCount":241}'

    def answer(part: str, finish: str = "") -> str:
        return f'{{"candidates":[{{"content":{{"parts":[{part}],"role":"model"}}{finish},"index":0}}],{usage},{tail}}}'

    def event(part: str, finish: str = "") -> bytes:
        return f"data: {answer(part, finish)}\r\n\r\n".encode()

    stop = ',"finishReason":"STOP"'
    return Wire(
        dialect="gemini",
        model="gemini-2.5-flash",
        whole=answer(f'{{"text":"{WORD * CHUNK_COUNT}"}}', stop).encode(),
        text=(b"", event(f'{{"text":"{WORD}"}}'), event('{"text":""}', stop)),
        thinking=(b"", event(f'{{"text":"{WORD}","thought":true}}'), event('{"text":"42"}', stop)),
        arguments=None,
    )


def _bedrock() -> Wire:
    usage = '"usage":{"inputTokens":41,"outputTokens":200,"totalTokens":241}'
    pad = '"p":"abcdefghijklmnopqrstuvwxyz"'
    start = _frame("messageStart", f'{{{pad},"role":"assistant"}}')
    end = _frame("contentBlockStop", f'{{"contentBlockIndex":0,{pad}}}')
    end += _frame("messageStop", f'{{{pad},"stopReason":"end_turn"}}')
    end += _frame("metadata", f'{{"metrics":{{"latencyMs":12}},{pad},{usage}}}')

    def delta(json: str) -> bytes:
        return _frame("contentBlockDelta", f'{{"contentBlockIndex":0,"delta":{json},{pad}}}')

    tool = f'{{"toolUse":{{"name":"get_weather","toolUseId":"{_CALL}"}}}}'
    message = f'{{"message":{{"content":[{{"text":"{WORD * CHUNK_COUNT}"}}],"role":"assistant"}}}}'
    signed = delta(f'{{"reasoningContent":{{"signature":"{_SIGNED}"}}}}')
    return Wire(
        dialect="bedrock",
        model="anthropic.claude-sonnet-4-5-20250929-v1:0",
        whole=f'{{"metrics":{{"latencyMs":12}},"output":{message},"stopReason":"end_turn",{usage}}}'.encode(),
        text=(start, delta(f'{{"text":"{WORD}"}}'), end),
        thinking=(start, delta(f'{{"reasoningContent":{{"text":"{WORD}"}}}}'), signed + end),
        arguments=(
            start + _frame("contentBlockStart", f'{{"contentBlockIndex":0,{pad},"start":{tool}}}'),
            delta(f'{{"toolUse":{{"input":"{PIECE}"}}}}'),
            end,
        ),
    )


def _cohere() -> Wire:
    usage = '"usage":{"billed_units":{"input_tokens":41,"output_tokens":200},'
    usage += '"tokens":{"input_tokens":41,"output_tokens":200}}'
    start = ',"id":"29f14a5a-11de-4cae-9800-25e4747408ea","delta":{"message":{"role":"assistant"}}'
    end = _named("message-end", f',"delta":{{"finish_reason":"COMPLETE",{usage}}}')

    def content(kind: str) -> tuple[bytes, bytes, bytes]:
        opened = f',"index":0,"delta":{{"message":{{"content":{{"type":"{kind}","{kind}":""}}}}}}'
        piece = f',"index":0,"delta":{{"message":{{"content":{{"{kind}":"{WORD}"}}}}}}'
        before = _named("message-start", start) + _named("content-start", opened)
        return before, _named("content-delta", piece), _named("content-end", ',"index":0') + end

    tool = f'{{"id":"{_CALL}","type":"function","function":{{"name":"get_weather","arguments":""}}}}'
    called = f',"index":0,"delta":{{"message":{{"tool_calls":{tool}}}}}'
    piece = f',"index":0,"delta":{{"message":{{"tool_calls":{{"function":{{"arguments":"{PIECE}"}}}}}}}}'
    message = f'{{"role":"assistant","content":[{{"type":"text","text":"{WORD * CHUNK_COUNT}"}}]}}'
    return Wire(
        dialect="cohere",
        model="command-a-03-2025",
        whole=f'{{"id":"c14c80c3","message":{message},"finish_reason":"COMPLETE",{usage}}}'.encode(),
        text=content("text"),
        thinking=content("thinking"),
        arguments=(
            _named("message-start", start) + _named("tool-call-start", called),
            _named("tool-call-delta", piece),
            _named("tool-call-end", ',"index":0') + end,
        ),
    )


def _openai() -> Wire:
    about = '"id":"chatcmpl-B9MHD","created":1741570283,"model":"gpt-4o-mini","system_fingerprint":"fp_06737a9306"'
    usage = '"usage":{"prompt_tokens":41,"completion_tokens":200,"total_tokens":241}'

    def chunk(delta: str, finish: str = "null") -> bytes:
        choice = f'{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}'
        return f'data: {{{about},"object":"chat.completion.chunk","choices":[{choice}]}}\n\n'.encode()

    start, end = chunk('{"role":"assistant","content":""}'), chunk("{}", '"stop"') + b"data: [DONE]\n\n"
    function = '{"name":"get_weather","arguments":""}'
    opened = f'{{"tool_calls":[{{"index":0,"id":"{_CALL}","type":"function","function":{function}}}]}}'
    message = f'{{"role":"assistant","content":"{WORD * CHUNK_COUNT}"}}'
    choice = f'{{"index":0,"message":{message},"finish_reason":"stop"}}'
    return Wire(
        dialect="openai",
        model="gpt-4o-mini",
        whole=f'{{{about},"object":"chat.completion","choices":[{choice}],{usage}}}'.encode(),
        text=(start, chunk(f'{{"content":"{WORD}"}}'), end),
        thinking=(start, chunk(f'{{"reasoning_content":"{WORD}"}}'), end),
        arguments=(
            start + chunk(opened),
            chunk(f'{{"tool_calls":[{{"index":0,"function":{{"arguments":"{PIECE}"}}}}]}}'),
            end,
        ),
    )


_MAKERS: Final[tuple[Callable[[], Wire], ...]] = (_anthropic, _gemini, _bedrock, _cohere, _openai)
WIRES: Final = {wire.dialect: wire for wire in (make() for make in _MAKERS)}


def request() -> bytes:
    """Return the request that is translated: a conversation with tools, of usual size."""
    tool = {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Current temperature.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["c", "f"]}},
                "required": ["city"],
            },
        },
    }
    function = {"name": "get_weather", "arguments": '{"city":"Corinth"}'}
    return msgspec.json.encode(
        {
            "model": "m",
            "temperature": 0.5,
            "max_completion_tokens": 1000,
            "tools": [tool],
            "messages": [
                {"role": "system", "content": "You are a careful assistant."},
                {"role": "user", "content": "How warm is it at the isthmus?"},
                {"role": "assistant", "content": None, "tool_calls": [
                    {"id": "call_1", "type": "function", "function": function},
                ]},
                {"role": "tool", "tool_call_id": "call_1", "content": "21 degrees"},
                {"role": "user", "content": [{"type": "text", "text": "And tomorrow?"}]},
            ],
        }
    )  # fmt: skip
