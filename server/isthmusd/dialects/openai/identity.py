"""OpenAI's format on both sides: bytes pass, but for a splice of top-level members. Watching the answer is `tap.py`.

The answer's `model` is left as it is: `model` in an answer is the provider's, never the alias.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from isthmusd.core.errors import Garbled
from isthmusd.core.profile import Profile
from isthmusd.core.request import Loss, Operation, Peeked
from isthmusd.core.usage import Usage
from isthmusd.dialects.openai.chunk_watch import ChunkWatch
from isthmusd.dialects.openai.errors import decode_stream_error
from isthmusd.dialects.openai.fitting import Changes, changes_for
from isthmusd.dialects.openai.passing import can_pass
from isthmusd.dialects.openai.responses_watch import ResponsesWatch, usage_in
from isthmusd.dialects.openai.tap import Tap
from isthmusd.dialects.openai.usage import decode_usage
from isthmusd.framing.edits import Edits, edit
from isthmusd.framing.members import find_spans, splice

_ASKED = b'{"include_usage":true}'

_NULL = msgspec.Raw(b"null")
_NOTHING = re.compile(rb"null|\[[ \t\r\n]*\]")


class _Whole(msgspec.Struct):
    usage: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL
    choices: msgspec.Raw = _NULL
    data: msgspec.Raw = _NULL
    results: msgspec.Raw = _NULL

    def is_error(self) -> bool:
        """Whether there is an error, and nothing of what was asked for."""
        if bytes(self.error) == b"null":
            return False
        return all(_NOTHING.fullmatch(bytes(each)) for each in (self.choices, self.data, self.results))


_WHOLE = msgspec.json.Decoder(_Whole)

_CHUNKED = frozenset({Operation.CHAT, Operation.COMPLETION})
"""Operations whose streams have `stream_options`."""

_FITTED = _CHUNKED | {Operation.EMBEDDING}
"""Operations whose members a profile speaks of; the others are called where their format is at home."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIIdentity:
    """Identity of one operation."""

    operation: Operation

    def can_pass(self, body: bytes, peeked: Peeked, profile: Profile) -> bool:
        """Tell whether the target takes the messages as they are."""
        return self.operation is not Operation.CHAT or can_pass(body, peeked, profile)

    def splice(self, body: bytes, peeked: Peeked, model: str, profile: Profile) -> tuple[bytes, tuple[Loss, ...]]:
        """Replace the model's value if it differs, ask for usage on streams where the profile allows it, and rename or
        leave out members as the profile says."""
        replacements: dict[str, bytes] = {}
        insertions: list[tuple[str, bytes]] = []
        if model != peeked.model:
            _put("model", msgspec.json.encode(model), peeked, replacements, insertions)
        if self._asks_for_usage(peeked, profile):
            _put("stream_options", _asking(body, peeked), peeked, replacements, insertions)
        changes = self._changes(body, peeked, profile)
        if changes is None:
            return splice(body, peeked.spans, replacements, insertions), ()
        edits = Edits(replaced=replacements, renamed=changes.renamed, dropped=changes.dropped, added=insertions)
        return edit(body, peeked.spans, edits), tuple(changes.losses)

    def tap(self, peeked: Peeked, body_size: int, profile: Profile) -> Tap:
        """Watch a streamed answer."""
        if self.operation is Operation.RESPONSES:
            return Tap(ResponsesWatch(), body_size)
        watch = ChunkWatch(
            hides_usage=self._asks_for_usage(peeked, profile),
            ends_with_done=profile.stream_ends_with_done,
        )
        return Tap(watch, body_size)

    def usage_of(self, body: bytes) -> Usage | None:
        """Read the usage of a whole answer; None if there is none that can be read.

        Raises Garbled if the answer is no JSON object, and the error that some servers answer with under HTTP 200.
        """
        if self.operation is Operation.RESPONSES:
            return usage_in(body)
        try:
            whole = _WHOLE.decode(body)
            if not body.isascii():
                body.decode()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Garbled("The provider's answer is not a JSON object; try again.") from error
        if whole.is_error():
            raise decode_stream_error(whole.error)
        try:
            return decode_usage(whole.usage)
        except Garbled:
            return None  # the answer itself is sound, and passes

    def _changes(self, body: bytes, peeked: Peeked, profile: Profile) -> Changes | None:
        if self.operation not in _FITTED:
            return None

        def value_of(name: str) -> object:
            start, end = peeked.spans[name]
            return msgspec.json.decode(body[start:end])

        return changes_for(peeked.spans, value_of, profile)

    def _asks_for_usage(self, peeked: Peeked, profile: Profile) -> bool:
        """Whether the gateway itself asks, so that it must also hide the answer."""
        asks = peeked.stream and not peeked.include_usage and profile.accepts_stream_options
        return asks and self.operation in _CHUNKED


def _put(
    name: str,
    value: bytes,
    peeked: Peeked,
    replacements: dict[str, bytes],
    insertions: list[tuple[str, bytes]],
) -> None:
    if name in peeked.spans:
        replacements[name] = value
    else:
        insertions.append((name, value))


def _asking(body: bytes, peeked: Peeked) -> bytes:
    """Give `stream_options` with the wish for usage in it, the caller's own options unchanged."""
    start, end = peeked.spans.get("stream_options", (0, 0))
    options = body[start:end]
    if not options.startswith(b"{"):
        # Absent or null: `peek` refuses values of other types.
        return _ASKED
    spans = find_spans(options)
    if "include_usage" in spans:
        return splice(options, spans, {"include_usage": b"true"})
    return splice(options, spans, {}, [("include_usage", b"true")])
