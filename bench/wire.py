"""A small incremental HTTP/1.1 reader for both ends of the benchmark. It is not a validating parser.

The mock and the load generator share the machine with the gateway under test, so they parse only what they must:
the first line, the two framing headers, and the body.
"""

from typing import Final

_HEAD_END: Final = b"\r\n\r\n"


class MessageReader:
    """Feed bytes, get messages. One per connection; used again for every message on it."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._left = 0
        self._chunked = False
        self._in_body = False
        self.first_line = b""
        self.fields = b""
        """The head in lower case."""
        self.complete = False

    def feed(self, received: bytes) -> bytes:
        """Return the body bytes these bytes brought; `complete` is then true when the message has ended."""
        self._buffer += received
        self.complete = False
        if not self._in_body and not self._read_head():
            return b""
        return self._read_chunks() if self._chunked else self._read_sized()

    def _read_head(self) -> bool:
        end = self._buffer.find(_HEAD_END)
        if end < 0:
            return False
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        self.first_line = head.partition(b"\r\n")[0]
        self.fields = fields = head.lower()
        self._chunked = b"\r\ntransfer-encoding: chunked" in fields
        _, found, rest = fields.partition(b"\r\ncontent-length:")
        self._left = int(rest.partition(b"\r\n")[0]) if found else 0
        self._in_body = True
        return True

    def _read_sized(self) -> bytes:
        body = bytes(self._buffer[: self._left])
        del self._buffer[: len(body)]
        self._left -= len(body)
        self._end_if(self._left == 0)
        return body

    def _read_chunks(self) -> bytes:
        pieces: list[bytes] = []
        while True:
            if self._left == 0:
                line_end = self._buffer.find(b"\r\n")
                if line_end < 0:
                    break
                # The two bytes after the chunk belong to it; a last chunk is just these two (no trailers).
                size = int(bytes(self._buffer[:line_end]).partition(b";")[0], 16)
                if size == 0 and len(self._buffer) < line_end + 4:
                    break
                del self._buffer[: line_end + 2]
                self._left = size + 2
                if size == 0:
                    del self._buffer[:2]
                    self._left = 0
                    self._end_if(True)
                    break
            if not self._buffer:
                break
            part = bytes(self._buffer[: self._left])
            del self._buffer[: len(part)]
            self._left -= len(part)
            pieces.append(_without_line_end(part, self._left))
        return b"".join(pieces)

    def _end_if(self, ended: bool) -> None:
        self.complete = ended
        self._in_body = not ended


def _without_line_end(part: bytes, left: int) -> bytes:
    """Cut the part of the chunk's closing CR LF that is inside `part`; `left` bytes of the chunk are still to come."""
    return part[: len(part) - max(0, 2 - left)]
