"""Citations of an answer: collected block by block, given as Anthropic wrote them and, where they name a page of the
web, as OpenAI's annotations. Asking for citations is `content.py`.

Source: https://platform.claude.com/docs/en/build-with-claude/citations
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from isthmusd.core.chat import Extra, JsonText
from isthmusd.framing.fields import json_text


class _Citation(msgspec.Struct):
    """What both web search (`url`) and search results of the caller (`source`) say of their origin."""

    url: str | None = None
    source: str | None = None
    title: str | None = None


@dataclass(slots=True)
class Citations:
    """Takes the citations of one answer. Anthropic cites whole text blocks, so a citation's span is its block's."""

    _found: list[object] = field(default_factory=list[object])
    _annotations: list[object] = field(default_factory=list[object])

    def add(self, citations: list[msgspec.Raw], start: int, end: int) -> None:
        """Take the citations of a text block that lies at `start` to `end` in the answer's text, in characters."""
        for raw in citations:
            # Decoded, so that streamed and whole answers give the same text however they are spaced.
            self._found.append(msgspec.json.decode(raw))
            origin = _origin(raw)
            url = origin.url or origin.source or ""
            if url.startswith(("http://", "https://")):
                cited = {"start_index": start, "end_index": end, "url": url, "title": origin.title or ""}
                self._annotations.append({"type": "url_citation", "url_citation": cited})

    def extra(self) -> Extra:
        """Give the members of the message."""
        members = (("annotations", self._annotations), ("citations", self._found))
        return tuple((name, written(items)) for name, items in members if items)


def written(value: object) -> JsonText:
    """Write a JSON value as text."""
    return json_text(msgspec.json.encode(value))


def _origin(raw: msgspec.Raw) -> _Citation:
    try:
        return msgspec.json.decode(raw, type=_Citation)
    except msgspec.ValidationError:
        # A kind of citation that is not known: kept as it is, without an annotation.
        return _Citation()
