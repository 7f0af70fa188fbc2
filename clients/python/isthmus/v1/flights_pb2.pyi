from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class SettleRequest(_message.Message):
    __slots__ = ("call",)
    CALL_FIELD_NUMBER: _ClassVar[int]
    call: bytes
    def __init__(self, call: _Optional[bytes] = ...) -> None: ...

class SettleResponse(_message.Message):
    __slots__ = ("landing",)
    LANDING_FIELD_NUMBER: _ClassVar[int]
    landing: bytes
    def __init__(self, landing: _Optional[bytes] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ("name", "stored_at")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STORED_AT_FIELD_NUMBER: _ClassVar[int]
    name: bytes
    stored_at: float
    def __init__(self, name: _Optional[bytes] = ..., stored_at: _Optional[float] = ...) -> None: ...

class RenewResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class JoinRequest(_message.Message):
    __slots__ = ("call",)
    CALL_FIELD_NUMBER: _ClassVar[int]
    call: bytes
    def __init__(self, call: _Optional[bytes] = ...) -> None: ...

class JoinResponse(_message.Message):
    __slots__ = ("head", "piece", "keep_alive", "landing")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    KEEP_ALIVE_FIELD_NUMBER: _ClassVar[int]
    LANDING_FIELD_NUMBER: _ClassVar[int]
    head: bytes
    piece: bytes
    keep_alive: bytes
    landing: bytes
    def __init__(self, head: _Optional[bytes] = ..., piece: _Optional[bytes] = ..., keep_alive: _Optional[bytes] = ..., landing: _Optional[bytes] = ...) -> None: ...
