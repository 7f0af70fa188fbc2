"""Where an answer's claims come from: Google's grounding and citation metadata as OpenAI's annotations, and untouched.
Asking for a search is `tools.py`.

Source: https://ai.google.dev/gemini-api/docs/google-search and https://ai.google.dev/api/generate-content#citationmetadata
Google counts bytes, OpenAI characters.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from isthmusd.core.chat import Extra, JsonText
from isthmusd.framing.fields import json_text


class _Source(msgspec.Struct, rename="camel"):
    uri: str | None = None
    source_uri: str | None = None
    title: str | None = None


class _Chunk(msgspec.Struct, rename="camel"):
    web: _Source | None = None
    image: _Source | None = None
    maps: _Source | None = None
    retrieved_context: _Source | None = None

    def source(self) -> _Source:
        return self.web or self.image or self.maps or self.retrieved_context or _Source()


class _Segment(msgspec.Struct, rename="camel"):
    part_index: int = 0
    start_index: int = 0
    end_index: int = 0
    text: str | None = None


class _Support(msgspec.Struct, rename="camel"):
    segment: _Segment | None = None
    grounding_chunk_indices: list[int] | None = None


class _Grounding(msgspec.Struct, rename="camel"):
    grounding_chunks: list[_Chunk] | None = None
    grounding_supports: list[_Support] | None = None


class _Citation(msgspec.Struct, rename="camel"):
    start_index: int = 0
    end_index: int = 0
    uri: str | None = None
    title: str | None = None


class _Citations(msgspec.Struct, rename="camel"):
    citations: list[_Citation] | None = None
    citation_sources: list[_Citation] | None = None
    """The name in the Gemini API; `citations` is Vertex's."""


_GROUNDING = msgspec.json.Decoder(_Grounding)
_CITATIONS = msgspec.json.Decoder(_Citations)
_NOTHING = frozenset({b"", b"null", b"{}"})


@dataclass(slots=True)
class Sources:
    """What one choice cites; serves one answer, whole or streamed."""

    texts: list[str] = field(default_factory=list[str])
    size: int = 0
    """Of the texts, in bytes."""
    starts: list[int] = field(default_factory=list[int])
    """Place in bytes where each part of the last chunk begins."""
    grounding: list[JsonText] = field(default_factory=list[JsonText])
    cited: list[JsonText] = field(default_factory=list[JsonText])

    def begin(self) -> None:
        """A part begins."""
        self.starts.append(self.size)

    def add(self, text: str) -> None:
        """The part is text."""
        self.texts.append(text)
        self.size += len(text.encode())

    def take(self, grounding: msgspec.Raw, cited: msgspec.Raw) -> None:
        """Keep what is new: streams repeat it, or send it empty."""
        for raw, kept in ((grounding, self.grounding), (cited, self.cited)):
            if bytes(raw) not in _NOTHING and (text := json_text(raw)) not in kept:
                kept.append(text)

    def extra(self) -> Extra:
        """Give the message's members; nothing if nothing is cited. What is not understood is kept untouched only: an
        answer is worth more than its annotations."""
        if not self.grounding and not self.cited:
            return ()
        located = _Located("".join(self.texts), self.starts)
        annotations: list[dict[str, object]] = []
        with suppress(msgspec.DecodeError):
            for text in self.grounding:
                annotations += _grounded(_GROUNDING.decode(text), located)
            for text in self.cited:
                annotations += _recited(_CITATIONS.decode(text), located)
        untouched = {"groundingMetadata": self.grounding, "citationMetadata": self.cited}
        members = {name: _one_or_all(texts) for name, texts in untouched.items() if texts}
        citations = ("citations", JsonText(msgspec.json.encode(members).decode()))
        if not annotations:
            return (citations,)
        return (("annotations", JsonText(msgspec.json.encode(annotations).decode())), citations)


@dataclass(slots=True)
class _Located:
    """Finds segments in a text."""

    text: str
    starts: list[int]
    encoded: bytes = b""

    def __post_init__(self) -> None:
        self.encoded = self.text.encode()

    def span(self, segment: _Segment) -> tuple[int, int]:
        """Give a segment's place in characters. Its own text decides where the numbers may be meant otherwise: from
        the start of the answer, or of its part."""
        begins = self.starts[segment.part_index] if 0 < segment.part_index < len(self.starts) else 0
        start, end = segment.start_index, segment.end_index
        if segment.text:
            wanted = segment.text.encode()
            places = (begins + start, start)
            place = next((place for place in places if self.encoded.startswith(wanted, place)), -1)
            place = self.encoded.find(wanted) if place < 0 else place
            if place >= 0:
                return self._characters(place), self._characters(place + len(wanted))
        return self._characters(begins + start), self._characters(begins + end)

    def whole(self) -> tuple[int, int]:
        return 0, len(self.text)

    def _characters(self, place: int) -> int:
        return len(self.encoded[: max(place, 0)].decode(errors="ignore"))


def _grounded(grounding: _Grounding, located: _Located) -> Iterator[dict[str, object]]:
    chunks = grounding.grounding_chunks or []
    if not grounding.grounding_supports:
        # Nothing says which words: the sources stand for the whole answer.
        for chunk in chunks:
            yield from _annotation(chunk.source(), located.whole())
    for support in grounding.grounding_supports or ():
        span = located.span(support.segment or _Segment())
        for index in support.grounding_chunk_indices or ():
            if 0 <= index < len(chunks):
                yield from _annotation(chunks[index].source(), span)


def _recited(found: _Citations, located: _Located) -> Iterator[dict[str, object]]:
    for citation in found.citations or found.citation_sources or ():
        span = located.span(_Segment(start_index=citation.start_index, end_index=citation.end_index))
        yield from _annotation(_Source(uri=citation.uri, title=citation.title), span)


def _annotation(source: _Source, span: tuple[int, int]) -> Iterator[dict[str, object]]:
    url = source.uri or source.source_uri
    if url is not None:
        cited = {"start_index": span[0], "end_index": span[1], "url": url, "title": source.title or url}
        yield {"type": "url_citation", "url_citation": cited}


def _one_or_all(texts: list[JsonText]) -> object:
    return msgspec.Raw(texts[0]) if len(texts) == 1 else [msgspec.Raw(text) for text in texts]
