"""`python -m tests.golden.losses_page`: print docs/losses.md. What may stand in it is `losses.toml`'s."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby

from tests.golden.ledger import Entry, entries

REGENERATE = "make docs"

_HEAD = f"""\
# Losses

Written by `{REGENERATE}` from `tests/golden/losses.toml`, which the tests hold against the code: nothing is lost
without a line here, and no line is about what cannot happen.

A **loss** is something that a request asks for and that its target cannot be told. The request is sent without it, and
the answer names its field in `x-isthmus-losses`. With `x-isthmus-strict: true` targets that would lose something are
passed over, and the call is refused (400) if none is left. What asks for no more than what happens anyway (`n: 1`,
`store: false`, `tool_choice: auto`, null) is no loss, and is left out without a word.

In a field, `[]` stands for any place of an array, `*` for a member that OpenAI's API does not have, `**` for anything;
in a reason, `{{}}` stands for what the request says.
"""

_TITLES = {
    "anthropic": "To Anthropic's Messages",
    "bedrock": "To Bedrock's Converse and InvokeModel",
    "bridge": "Between chats and completions",
    "cohere": "To Cohere's API",
    "gemini": "To Gemini's API",
    "openai": "To OpenAI-compatible hosts",
}
_PROVIDERS = "docs/providers.md"


def page() -> str:
    """Write the page."""
    return "".join((_HEAD, *_tables()))


def _tables() -> Iterator[str]:
    for dialect, lost in groupby(sorted(entries(), key=_order), key=lambda entry: entry.dialect):
        yield f"\n## {_TITLES[dialect]}\n\n| Field | Reason | Why |\n|---|---|---|\n"
        yield from (_row(entry) for entry in lost)


def _order(entry: Entry) -> tuple[str, bool, str, str]:
    """Fields of the request first, members that nobody knows last."""
    return entry.dialect, entry.field.endswith("*"), entry.field, entry.reason


def _row(entry: Entry) -> str:
    why = entry.why.replace(_PROVIDERS, "[providers](providers.md)")
    shown = "" if entry.link is None else f" ([documented]({entry.link}))"
    return f"| `{entry.field}` | {_plain(entry.reason)} | {why}{shown} |\n"


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


if __name__ == "__main__":
    sys.stdout.write(page())
