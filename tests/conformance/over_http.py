"""Runs a case over HTTP: raw requests to Envoy, with no SDK between, so that every byte of the answer is looked at."""

from __future__ import annotations

from typing import Any

import aiohttp
import msgspec

from tests.conformance.corpus import Case
from tests.conformance.outcome import Choice, Fault, Outcome
from tests.conformance.spec import complaints

ROUTES = {
    "chat": "/v1/proxy/chat/completions",
    "completion": "/v1/proxy/completions",
    "embedding": "/v1/proxy/embeddings",
    "auto": "/v1/proxy/auto",
}
USAGE = {"prompt_tokens": "input", "completion_tokens": "output", "total_tokens": "total"}
USAGE_DETAILS = {
    "prompt_tokens_details": {
        "cached_tokens": "cached",
        "cache_write_tokens": "cache_write",
        "audio_tokens": "audio_in",
    },
    "completion_tokens_details": {
        "reasoning_tokens": "reasoning",
        "audio_tokens": "audio_out",
        "accepted_prediction_tokens": "accepted",
        "rejected_prediction_tokens": "rejected",
    },
}
SCHEMAS = {"chat": "chat", "completion": "completion", "auto": "chat", "embedding": "embeddings"}
"""Operation to what OpenAI's schema calls the answer."""
LIMIT = aiohttp.ClientTimeout(total=30)


async def run(case: Case, url: str) -> Outcome:
    """Make the call and read the answer into the normal form."""
    async with aiohttp.ClientSession(timeout=LIMIT) as session:
        if case.operation in ("models", "model"):
            path = "/v1/models" + (f"/{case.asked_model}" if case.operation == "model" else "")
            answer = session.get(url + path, headers=case.headers)
        else:
            headers = {"content-type": "application/json", **case.headers}
            answer = session.post(url + ROUTES[case.operation], data=msgspec.json.encode(case.body), headers=headers)
        async with answer as response:
            return read(case, response.status, dict(response.headers), await response.read())


def read(case: Case, status: int, headers: dict[str, str], body: bytes) -> Outcome:
    """Read one complete answer."""
    outcome = Outcome(protocol="http")
    lowered = {name.lower(): value for name, value in headers.items()}
    assert "x-request-id" in lowered, "every answer has a request id"
    outcome.read_headers(lowered)
    if status != 200:
        assert lowered["content-type"].startswith("application/json"), (lowered, body)
        outcome.error = _fault(status, lowered, msgspec.json.decode(body)["error"])
        outcome.complaints += complaints("error", msgspec.json.decode(body))
    elif case.is_stream:
        assert lowered["content-type"] == "text/event-stream; charset=utf-8"
        _read_stream(outcome, body)
    else:
        assert lowered["content-type"].startswith("application/json"), lowered
        whole = msgspec.json.decode(body)
        _read_whole(outcome, case, whole)
        if case.operation in SCHEMAS:
            legacy = whole.get("object") == "text_completion"
            outcome.complaints += complaints("completion" if legacy else SCHEMAS[case.operation], whole)
    return outcome


def _fault(status: int, headers: dict[str, str], error: dict[str, Any], *, inband: bool = False) -> Fault:
    assert {"message", "type", "param", "code"} <= error.keys(), error
    retry = headers.get("retry-after")
    told = headers.get("x-should-retry")
    assert inband or told in ("true", "false"), "every error tells SDKs whether to retry"
    return Fault(
        message=error["message"],
        http=status,
        inband=inband,
        type=error["type"],
        code=error["code"],
        param=error["param"],
        retry_after=None if retry is None else float(retry),
        retryable=None if told is None else told == "true",
    )


def _read_whole(outcome: Outcome, case: Case, body: dict[str, Any]) -> None:
    match case.operation:
        case "models":
            outcome.models = [model["id"] for model in body["data"]]
        case "model":
            outcome.models, outcome.owned_by = [body["id"]], body.get("owned_by", "")
        case "embedding":
            _read_head(outcome, body)
            outcome.vectors = [_vector(one["embedding"]) for one in sorted(body["data"], key=lambda one: one["index"])]
        case _:
            _read_head(outcome, body)
            for raw in body["choices"]:
                choice = outcome.choice(raw["index"])
                choice.finish = raw.get("finish_reason")
                _read_choice(choice, raw, raw.get("message"))


def _read_stream(outcome: Outcome, body: bytes) -> None:
    """Read as a client does; where the provider's own framing passes through, it is still that of an event stream."""
    messages = [message for message in map(_data, _blocks(body)) if message is not None]
    heads: set[tuple[Any, ...]] = set()
    for position, message in enumerate(messages):
        if message == b"[DONE]":
            assert position == len(messages) - 1, "[DONE] is last"
            break
        chunk = msgspec.json.decode(message)
        if "error" in chunk:
            assert position == len(messages) - 1, "an error is last, and no [DONE] follows"
            outcome.error = _fault(200, {}, chunk["error"], inband=True)
            break
        if chunk["object"] == "chat.completion.chunk":
            outcome.complaints += complaints("chunk", chunk)
        heads.add((chunk["id"], chunk["created"], chunk["model"]))
        _read_chunk(outcome, chunk)
    else:
        raise AssertionError(f"the stream ends with neither [DONE] nor an error: {body[-300:]!r}")
    assert len(heads) <= 1, f"one id, created and model hold for the whole stream: {heads}"


def _blocks(body: bytes) -> list[bytes]:
    unified = body.replace(b"\r\n", b"\n")
    assert unified.endswith(b"\n\n"), body[-200:]
    return unified[:-2].split(b"\n\n")


def _data(block: bytes) -> bytes | None:
    """The data of one event; None for comments."""
    lines = [line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


def _read_chunk(outcome: Outcome, chunk: dict[str, Any]) -> None:
    _read_head(outcome, chunk)
    for raw in chunk["choices"]:
        choice = outcome.choice(raw["index"])
        choice.finish = raw.get("finish_reason") or choice.finish
        _read_choice(choice, raw, raw.get("delta"))


def _read_head(outcome: Outcome, body: dict[str, Any]) -> None:
    outcome.id = body.get("id", outcome.id)
    outcome.created = body.get("created", outcome.created)
    outcome.model = body["model"]
    outcome.system_fingerprint = body.get("system_fingerprint") or outcome.system_fingerprint
    outcome.service_tier = body.get("service_tier") or outcome.service_tier
    if body.get("usage") is not None:
        outcome.usage = read_usage(body["usage"])


def _read_choice(choice: Choice, raw: dict[str, Any], message: dict[str, Any] | None) -> None:
    """Add a message, a delta of one, or a legacy choice, which has its text in itself."""
    said = raw if message is None else message
    text = said.get("text") if message is None else said.get("content")
    if text is not None:
        choice.add_text(text)
    choice.thinking += said.get("reasoning_content") or said.get("reasoning") or ""
    choice.refusal += said.get("refusal") or ""
    for position, call in enumerate(said.get("tool_calls") or ()):
        _add_call(choice, call.get("index", position), call)
    for name in ("id", "data", "transcript"):
        if name in (said.get("audio") or {}):
            choice.audio[name] = choice.audio.get(name, "") + said["audio"][name]
    choice.logprobs += _logprobs(raw.get("logprobs") or {})


def _add_call(choice: Choice, index: int, raw: dict[str, Any]) -> None:
    call = choice.call(index)
    kind = raw.get("type") or "function"
    called = raw.get(kind) or {}
    call["id"] += raw.get("id") or ""
    call["name"] += called.get("name") or ""
    call["arguments"] += called.get("arguments" if kind == "function" else "input") or ""
    if kind != "function":
        call["type"] = kind


def _logprobs(raw: dict[str, Any]) -> list[list[Any]]:
    if "tokens" in raw:
        return [list(pair) for pair in zip(raw["tokens"], raw["token_logprobs"], strict=True)]
    return [[one["token"], one["logprob"]] for one in raw.get("content") or ()]


def _vector(raw: Any) -> list[float]:
    assert isinstance(raw, list), "cases ask for floats"
    return raw


def read_usage(raw: dict[str, Any]) -> dict[str, int]:
    """Rename the members of an OpenAI usage object."""
    usage = {ours: raw[theirs] for theirs, ours in USAGE.items() if raw.get(theirs) is not None}
    for group, names in USAGE_DETAILS.items():
        details = raw.get(group) or {}
        usage |= {ours: details[theirs] for theirs, ours in names.items() if details.get(theirs) is not None}
    return usage
