from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Usage(_message.Message):
    __slots__ = ("input_tokens", "output_tokens", "total_tokens", "input_details", "output_details", "cost_nano_usd", "estimated", "extra_json")
    class InputDetails(_message.Message):
        __slots__ = ("cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens", "text_tokens", "tool_use_tokens", "extra_json")
        CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
        CACHE_WRITE_TOKENS_FIELD_NUMBER: _ClassVar[int]
        AUDIO_TOKENS_FIELD_NUMBER: _ClassVar[int]
        IMAGE_TOKENS_FIELD_NUMBER: _ClassVar[int]
        TEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
        TOOL_USE_TOKENS_FIELD_NUMBER: _ClassVar[int]
        EXTRA_JSON_FIELD_NUMBER: _ClassVar[int]
        cached_tokens: int
        cache_write_tokens: int
        audio_tokens: int
        image_tokens: int
        text_tokens: int
        tool_use_tokens: int
        extra_json: str
        def __init__(self, cached_tokens: _Optional[int] = ..., cache_write_tokens: _Optional[int] = ..., audio_tokens: _Optional[int] = ..., image_tokens: _Optional[int] = ..., text_tokens: _Optional[int] = ..., tool_use_tokens: _Optional[int] = ..., extra_json: _Optional[str] = ...) -> None: ...
    class OutputDetails(_message.Message):
        __slots__ = ("reasoning_tokens", "audio_tokens", "text_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens", "extra_json")
        REASONING_TOKENS_FIELD_NUMBER: _ClassVar[int]
        AUDIO_TOKENS_FIELD_NUMBER: _ClassVar[int]
        TEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
        ACCEPTED_PREDICTION_TOKENS_FIELD_NUMBER: _ClassVar[int]
        REJECTED_PREDICTION_TOKENS_FIELD_NUMBER: _ClassVar[int]
        EXTRA_JSON_FIELD_NUMBER: _ClassVar[int]
        reasoning_tokens: int
        audio_tokens: int
        text_tokens: int
        accepted_prediction_tokens: int
        rejected_prediction_tokens: int
        extra_json: str
        def __init__(self, reasoning_tokens: _Optional[int] = ..., audio_tokens: _Optional[int] = ..., text_tokens: _Optional[int] = ..., accepted_prediction_tokens: _Optional[int] = ..., rejected_prediction_tokens: _Optional[int] = ..., extra_json: _Optional[str] = ...) -> None: ...
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    INPUT_DETAILS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_DETAILS_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_FIELD_NUMBER: _ClassVar[int]
    EXTRA_JSON_FIELD_NUMBER: _ClassVar[int]
    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_details: Usage.InputDetails
    output_details: Usage.OutputDetails
    cost_nano_usd: int
    estimated: bool
    extra_json: str
    def __init__(self, input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., total_tokens: _Optional[int] = ..., input_details: _Optional[_Union[Usage.InputDetails, _Mapping]] = ..., output_details: _Optional[_Union[Usage.OutputDetails, _Mapping]] = ..., cost_nano_usd: _Optional[int] = ..., estimated: bool = ..., extra_json: _Optional[str] = ...) -> None: ...

class Logprobs(_message.Message):
    __slots__ = ("content", "refusal", "extra_json")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    EXTRA_JSON_FIELD_NUMBER: _ClassVar[int]
    content: _containers.RepeatedCompositeFieldContainer[TokenLogprob]
    refusal: _containers.RepeatedCompositeFieldContainer[TokenLogprob]
    extra_json: str
    def __init__(self, content: _Optional[_Iterable[_Union[TokenLogprob, _Mapping]]] = ..., refusal: _Optional[_Iterable[_Union[TokenLogprob, _Mapping]]] = ..., extra_json: _Optional[str] = ...) -> None: ...

class TokenLogprob(_message.Message):
    __slots__ = ("token", "logprob", "token_bytes", "top", "text_offset", "extra_json")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    LOGPROB_FIELD_NUMBER: _ClassVar[int]
    TOKEN_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    TEXT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    EXTRA_JSON_FIELD_NUMBER: _ClassVar[int]
    token: str
    logprob: float
    token_bytes: bytes
    top: _containers.RepeatedCompositeFieldContainer[TopLogprob]
    text_offset: int
    extra_json: str
    def __init__(self, token: _Optional[str] = ..., logprob: _Optional[float] = ..., token_bytes: _Optional[bytes] = ..., top: _Optional[_Iterable[_Union[TopLogprob, _Mapping]]] = ..., text_offset: _Optional[int] = ..., extra_json: _Optional[str] = ...) -> None: ...

class TopLogprob(_message.Message):
    __slots__ = ("token", "logprob", "token_bytes", "extra_json")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    LOGPROB_FIELD_NUMBER: _ClassVar[int]
    TOKEN_BYTES_FIELD_NUMBER: _ClassVar[int]
    EXTRA_JSON_FIELD_NUMBER: _ClassVar[int]
    token: str
    logprob: float
    token_bytes: bytes
    extra_json: str
    def __init__(self, token: _Optional[str] = ..., logprob: _Optional[float] = ..., token_bytes: _Optional[bytes] = ..., extra_json: _Optional[str] = ...) -> None: ...
