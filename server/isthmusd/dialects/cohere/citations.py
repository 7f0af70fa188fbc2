"""Citations of an answer: Cohere's own, as they came, and OpenAI's annotations made of those that lead to a web page.

Source: https://docs.cohere.com/docs/citations,
https://platform.openai.com/docs/api-reference/chat/object (message.annotations)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from isthmusd.core.chat import Extra, JsonText

_OF_TEXT = "TEXT_CONTENT"
"""Plans and thinking are cited too, but annotations point into the text."""


class _Source(msgspec.Struct):
    document: dict[str, Any] | None = None
    tool_output: dict[str, Any] | None = None


class _Citation(msgspec.Struct):
    start: int
    end: int
    type: str | None = None
    content_index: int | None = None
    sources: list[_Source] | None = None


_CITATION = msgspec.json.Decoder(_Citation)


def citations_extra(citations: Sequence[msgspec.Raw], text_starts: Mapping[int, int]) -> Extra:
    """Give the members of a message for its citations. `text_starts`: where in the text each content block begins."""
    if not citations:
        return ()
    kept = ("citations", _written(citations))
    annotations = [annotation for citation in citations for annotation in _annotations(citation, text_starts)]
    return (("annotations", _written(annotations)), kept) if annotations else (kept,)


def _annotations(raw: msgspec.Raw, text_starts: Mapping[int, int]) -> Iterator[dict[str, object]]:
    try:
        citation = _CITATION.decode(raw)
    except msgspec.ValidationError:
        # Kept as it came; of its form nothing is known.
        return
    if citation.type not in (None, _OF_TEXT):
        return
    offset = text_starts.get(citation.content_index or 0, 0)
    for source in citation.sources or ():
        for found in (source.document, source.tool_output):
            match found:
                case {"url": str(url)}:
                    title = found.get("title")
                    cited = {
                        "start_index": citation.start + offset,
                        "end_index": citation.end + offset,
                        "url": url,
                        "title": title if isinstance(title, str) else url,
                    }
                    yield {"type": "url_citation", "url_citation": cited}
                case _:
                    pass


def _written(value: object) -> JsonText:
    return JsonText(msgspec.json.encode(value).decode())
