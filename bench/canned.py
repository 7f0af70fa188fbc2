"""Requests, replies and stream events as bytes, shared by the mock and the load. It is not a fake provider for tests.

Each streamed chunk carries the instant it was sent (`@` and 19 digits of CLOCK_MONOTONIC nanoseconds, one clock for all
processes of a machine) inside its text, so the stamp survives every gateway that rebuilds the JSON around it.
"""

import re
from typing import Final

CHUNKS_PER_STREAM: Final = 100
CHUNK_INTERVAL_S: Final = 0.02
MODEL: Final = "gpt-4o-mini"
HASTY_MODEL: Final = "gpt-4o"
"""The mock streams this one's chunks without pauses."""
PROMPT: Final = "Describe the isthmus of Corinth and why the ancients hauled ships across it, in three sentences."
SYSTEM: Final = "You are a careful assistant. Answer briefly, name no sources and do not apologise."
STAMP: Final = re.compile(rb"@(\d{19})")

_ID = '"id":"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG"'
_TAIL = '"service_tier":"default","system_fingerprint":"fp_06737a9306"'
_USAGE = (
    '{"prompt_tokens":41,"completion_tokens":100,"total_tokens":141,'
    '"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},'
    '"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,'
    '"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}'
)
_TEXT = (
    "The isthmus of Corinth is a neck of land six kilometres wide that joins the Peloponnese to mainland Greece. "
    "A paved trackway, the diolkos, let crews drag ships and cargo from gulf to gulf on wheeled carriages. "
    "Hauling was slow, yet it spared them the gales off Cape Maleas, which sank more hulls than any war."
)
REPLY: Final = (
    f'{{{_ID},"object":"chat.completion","created":1741570283,"model":"gpt-4o-mini-2024-07-18",'
    f'"choices":[{{"index":0,"message":{{"role":"assistant","content":"{_TEXT}","refusal":null,"annotations":[]}},'
    f'"logprobs":null,"finish_reason":"stop"}}],"usage":{_USAGE},{_TAIL}}}'
).encode()
MODELS: Final = (
    f'{{"object":"list","data":[{{"id":"{MODEL}","object":"model","created":1721172741,"owned_by":"system"}}]}}'
).encode()


class Events:
    """The SSE events of one stream form; two instances exist, with and without `stream_options.include_usage`."""

    def __init__(self, *, include_usage: bool) -> None:
        null = ',"usage":null' if include_usage else ""
        self._first = _split(_event('{"role":"assistant","content":" @%","refusal":null}', "null", null))
        self._next = _split(_event('{"content":" @%"}', "null", null))
        usage = f'{_head()},{_TAIL},"choices":[],"usage":{_USAGE}}}\n\n'.encode() if include_usage else b""
        self.end = _event("{}", '"stop"', null).encode() + usage + b"data: [DONE]\n\n"

    def chunk(self, index: int, sent_ns: int) -> bytes:
        """Return the event number `index`, stamped."""
        before, after = self._next if index else self._first
        return b"%b%019d%b" % (before, sent_ns, after)


def prompt(number: int | None = None) -> str:
    """Return the prompt every gateway is sent, or the one of a number; all of these have one length."""
    return PROMPT if number is None else f"{PROMPT} ({number:019d})"


def request(model: str, *, stream: bool, temperature: float = 0.7, number: int | None = None) -> bytes:
    """Return the chat request every gateway is sent; `stream` asks for the events instead of the whole reply."""
    streaming = ',"stream":true' if stream else ""
    return (
        f'{{"model":"{model}","messages":[{{"role":"system","content":"{SYSTEM}"}},'
        f'{{"role":"user","content":"{prompt(number)}"}}],"temperature":{temperature:g},"max_tokens":256{streaming}}}'
    ).encode()


def _head() -> str:
    return f'data: {{{_ID},"object":"chat.completion.chunk","created":1741570283,"model":"gpt-4o-mini-2024-07-18"'


def _event(delta: str, finish_reason: str, usage: str) -> str:
    choice = f'{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish_reason}}}'
    return f'{_head()},{_TAIL},"choices":[{choice}]{usage}}}\n\n'


def _split(event: str) -> tuple[bytes, bytes]:
    before, after = event.encode().split(b"%")
    return before, after
