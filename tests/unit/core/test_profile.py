"""Hosts as data: which call a model answers, and whether the gateway can call there by itself."""

from __future__ import annotations

import pytest
from isthmusd.core.profile import Flavour, Provider

FLAVOURS = {
    "gpt-*": Flavour.CHAT,
    "gpt-3.5-turbo-instruct*": Flavour.COMPLETION,
    "gpt-embed": Flavour.EMBEDDING,
}


@pytest.mark.parametrize(
    ("model", "flavour"),
    [
        ("gpt-9", Flavour.CHAT),
        ("gpt-", Flavour.CHAT),
        ("gpt-3.5-turbo-instruct-0914", Flavour.COMPLETION),
        ("gpt-embed", Flavour.EMBEDDING),
        ("gpt-embed-2", Flavour.CHAT),
        ("gpt-*", Flavour.CHAT),
        ("other", Flavour.UNKNOWN),
    ],
)
def test_the_longest_matching_name_decides_the_flavour(model: str, flavour: Flavour) -> None:
    assert Provider(name="x", base_url="http://x/v1", flavours=FLAVOURS).flavour_of(model) is flavour


def test_a_provider_is_usable_with_a_key_or_if_it_needs_none() -> None:
    assert Provider(name="x", base_url="u", api_key="k").usable
    assert Provider(name="x", base_url="u", needs_key=False).usable
    assert not Provider(name="x", base_url="u").usable


def test_a_provider_does_not_print_its_secret() -> None:
    assert "sk-secret" not in repr(Provider(name="x", base_url="u", api_key="sk-secret"))
