import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from isthmus.v1 import stream_pb2 as _stream_pb2
from isthmus.v1 import usage_pb2 as _usage_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ChatChunk(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[ChatEvent]
    def __init__(self, events: _Optional[_Iterable[_Union[ChatEvent, _Mapping]]] = ...) -> None: ...

class ChatEvent(_message.Message):
    __slots__ = ("start", "text_delta", "thinking_delta", "refusal_delta", "audio_delta", "tool_call_start", "tool_call_delta", "logprobs_delta", "choice_end", "usage", "raw_json")
    START_FIELD_NUMBER: _ClassVar[int]
    TEXT_DELTA_FIELD_NUMBER: _ClassVar[int]
    THINKING_DELTA_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_DELTA_FIELD_NUMBER: _ClassVar[int]
    AUDIO_DELTA_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_START_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_DELTA_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_DELTA_FIELD_NUMBER: _ClassVar[int]
    CHOICE_END_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    RAW_JSON_FIELD_NUMBER: _ClassVar[int]
    start: _stream_pb2.StreamStart
    text_delta: _stream_pb2.TextDelta
    thinking_delta: ThinkingDelta
    refusal_delta: RefusalDelta
    audio_delta: AudioDelta
    tool_call_start: ToolCallStart
    tool_call_delta: ToolCallDelta
    logprobs_delta: LogprobsDelta
    choice_end: _stream_pb2.ChoiceEnd
    usage: _usage_pb2.Usage
    raw_json: _stream_pb2.RawDelta
    def __init__(self, start: _Optional[_Union[_stream_pb2.StreamStart, _Mapping]] = ..., text_delta: _Optional[_Union[_stream_pb2.TextDelta, _Mapping]] = ..., thinking_delta: _Optional[_Union[ThinkingDelta, _Mapping]] = ..., refusal_delta: _Optional[_Union[RefusalDelta, _Mapping]] = ..., audio_delta: _Optional[_Union[AudioDelta, _Mapping]] = ..., tool_call_start: _Optional[_Union[ToolCallStart, _Mapping]] = ..., tool_call_delta: _Optional[_Union[ToolCallDelta, _Mapping]] = ..., logprobs_delta: _Optional[_Union[LogprobsDelta, _Mapping]] = ..., choice_end: _Optional[_Union[_stream_pb2.ChoiceEnd, _Mapping]] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., raw_json: _Optional[_Union[_stream_pb2.RawDelta, _Mapping]] = ...) -> None: ...

class ThinkingDelta(_message.Message):
    __slots__ = ("choice", "text", "signature", "redacted")
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    REDACTED_FIELD_NUMBER: _ClassVar[int]
    choice: int
    text: str
    signature: bytes
    redacted: bool
    def __init__(self, choice: _Optional[int] = ..., text: _Optional[str] = ..., signature: _Optional[bytes] = ..., redacted: bool = ...) -> None: ...

class RefusalDelta(_message.Message):
    __slots__ = ("choice", "text")
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    choice: int
    text: str
    def __init__(self, choice: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...

class AudioDelta(_message.Message):
    __slots__ = ("choice", "data", "transcript", "id", "expire_time", "extra_json")
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIPT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXTRA_JSON_FIELD_NUMBER: _ClassVar[int]
    choice: int
    data: bytes
    transcript: str
    id: str
    expire_time: _timestamp_pb2.Timestamp
    extra_json: str
    def __init__(self, choice: _Optional[int] = ..., data: _Optional[bytes] = ..., transcript: _Optional[str] = ..., id: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., extra_json: _Optional[str] = ...) -> None: ...

class ToolCallStart(_message.Message):
    __slots__ = ("choice", "index", "id", "name", "type", "extra_json")
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    EXTRA_JSON_FIELD_NUMBER: _ClassVar[int]
    choice: int
    index: int
    id: str
    name: str
    type: str
    extra_json: str
    def __init__(self, choice: _Optional[int] = ..., index: _Optional[int] = ..., id: _Optional[str] = ..., name: _Optional[str] = ..., type: _Optional[str] = ..., extra_json: _Optional[str] = ...) -> None: ...

class ToolCallDelta(_message.Message):
    __slots__ = ("choice", "index", "arguments")
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    choice: int
    index: int
    arguments: str
    def __init__(self, choice: _Optional[int] = ..., index: _Optional[int] = ..., arguments: _Optional[str] = ...) -> None: ...

class LogprobsDelta(_message.Message):
    __slots__ = ("choice", "logprobs")
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    choice: int
    logprobs: _usage_pb2.Logprobs
    def __init__(self, choice: _Optional[int] = ..., logprobs: _Optional[_Union[_usage_pb2.Logprobs, _Mapping]] = ...) -> None: ...
