"""Nothing is lost without a line in the ledger, and no line of it is about what cannot happen."""

from __future__ import annotations

import dataclasses
import re
from functools import cache

import pytest
from isthmusd.core import chat, completion, embedding
from isthmusd.core.chat import ChatRequest

from tests.golden import asked
from tests.golden.ledger import LEDGER, entries, entry_of
from tests.golden.loss_sites import HOLE, SERVER, sites
from tests.golden.losses_page import REGENERATE, page
from tests.golden.targets import Lost, losses

TODO = f"write it into {LEDGER.name}, ask for it in asked.py or asked_parts.py, then run {REGENERATE}"


@cache
def lost() -> frozenset[Lost]:
    return frozenset(losses())


def test_every_reason_in_the_code_is_in_the_ledger() -> None:
    unlisted = [
        f"{site.owner} ({site.place}): {site.reason}"
        for site in sites()
        if not any(entry.dialect == site.owner and entry.explains(site.reason) for entry in entries())
    ]

    assert unlisted == [], TODO


def test_losses_are_made_where_their_reasons_are_read() -> None:
    """A part of the server that began to report losses would not be held against the ledger."""
    read = {path for folder in ("core", "dialects") for path in (SERVER / folder).rglob("*.py")}
    making = {path for path in SERVER.rglob("*.py") if re.search(r"\bLoss\(f", path.read_text(encoding="utf-8"))}

    assert making <= read


def test_every_loss_is_in_the_ledger() -> None:
    unlisted = {
        f"{one.owner}: {one.loss.field}: {one.loss.reason}"
        for one in lost()
        if entry_of(one.owner, one.loss.field, one.loss.reason) is None
    }

    assert sorted(unlisted) == [], TODO


def test_every_entry_is_of_a_loss_that_happens() -> None:
    happened = {entry_of(one.owner, one.loss.field, one.loss.reason) for one in lost()}

    assert [entry.id for entry in entries() if entry not in happened] == []


def test_every_entry_is_of_a_reason_in_the_code() -> None:
    known = sites()

    stale = [
        entry.id
        for entry in entries()
        if not any(site.owner == entry.dialect and entry.explains(site.reason) for site in known)
    ]

    assert stale == []


def test_entries_have_a_name_of_their_own_and_say_why() -> None:
    assert len({entry.id for entry in entries()}) == len(entries())
    assert len({(entry.dialect, entry.field, entry.reason) for entry in entries()}) == len(entries())
    assert [entry.id for entry in entries() if not entry.why.endswith(".") or "\n" in entry.why] == []
    assert [entry.id for entry in entries() if entry.link is not None and not entry.link.startswith("https://")] == []


@pytest.mark.parametrize(
    ("dialect", "field", "reason"),
    [
        ("anthropic", "seed", "a reason that nobody gives"),
        ("anthropic", "model", "Anthropic has no such field"),
        ("gemini", "messages[0].content[1].detail", "Gemini knows user and model"),
        ("cohere", "user", "Gemini has no such field"),
    ],
)
def test_a_loss_that_nobody_wrote_down_is_found(dialect: str, field: str, reason: str) -> None:
    assert entry_of(dialect, field, reason) is None


def test_a_reason_that_nobody_wrote_down_is_found() -> None:
    assert not any(entry.explains(f"the {HOLE} of a model that was never built") for entry in entries())


KINDS = [
    kind
    for module in (chat, completion, embedding)
    for kind in vars(module).values()
    if dataclasses.is_dataclass(kind) and isinstance(kind, type) and kind.__module__ == module.__name__
]
ANSWERS = ("Response", "Choice", "CompletionChoice", "Embedding")


def test_the_corpus_sets_every_field_of_the_hub() -> None:
    wanted = {
        (kind.__name__, field.name)
        for kind in KINDS
        if not kind.__name__.endswith(ANSWERS)
        for field in dataclasses.fields(kind)
    }
    found: set[tuple[str, str]] = set()
    for request in (*asked.chats(), *asked.completions(), *asked.embeddings()):
        found |= set(set_fields(request))

    assert sorted(wanted - found) == []


def test_one_request_of_the_corpus_asks_for_all_at_once() -> None:
    unset = {
        field.name for field in dataclasses.fields(ChatRequest) if getattr(asked.FULL, field.name) == field.default
    }

    assert unset == set()


def set_fields(value: object) -> list[tuple[str, str]]:
    """Name the fields that differ from what they are without being set, at any depth."""
    match value:
        case tuple():
            return [name for item in value for name in set_fields(item)]
        case _ if dataclasses.is_dataclass(value):
            own = [
                (type(value).__name__, field.name)
                for field in dataclasses.fields(value)
                if getattr(value, field.name) != field.default
            ]
            return own + [
                name for field in dataclasses.fields(value) for name in set_fields(getattr(value, field.name))
            ]
        case _:
            return []


def test_the_page_of_losses_is_up_to_date() -> None:
    written = (LEDGER.parents[2] / "docs" / "losses.md").read_text(encoding="utf-8")

    assert written == page(), f"docs/losses.md is old: {REGENERATE}"


def test_pages_say_where_the_losses_are() -> None:
    for name in ("using.md", "providers.md"):
        assert "](losses.md)" in (LEDGER.parents[2] / "docs" / name).read_text(encoding="utf-8")
