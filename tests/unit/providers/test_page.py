"""The page of the catalogue is the catalogue."""

from __future__ import annotations

from pathlib import Path

from isthmusd.providers.catalog import CATALOG, PROFILES
from isthmusd.providers.catalog_file import parse
from isthmusd.providers.page import REGENERATE, page

COMMITTED = Path(__file__).parents[3] / "docs" / "providers.md"


def test_the_committed_page_is_up_to_date() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == page(), f"docs/providers.md is old: run `{REGENERATE}`"


def test_every_provider_and_profile_is_on_it() -> None:
    text = page()

    assert all(f"| `{name}` |" in text for name in CATALOG)
    assert all(f"- `{name}`: " in text for name in PROFILES)


def test_a_difference_is_told_with_its_link() -> None:
    text = page(
        parse(
            '[providers.x]\nbase_url = "https://x/v1"\ndocs = "https://d"\n'
            'quirks = [{ field = "refuses", value = ["n"], link = "https://l" }]\n'
            '[[providers.x.variants]]\nmodels = ["a*"]\nprofiles = ["p"]\n[[providers.x.variants]]\nmodels = ["b"]',
            '[[p]]\nfield = "default_max_tokens"\nvalue = 7\nlink = "https://m"',
        )
    )

    assert "| `x` | `X_API_KEY` | openai | `https://x/v1` | [docs](https://d) |" in text
    assert "\n- **x**: `n` left out ([shown](https://l))\n" in text
    assert "\n- **x** (`a*`): default max tokens: `7` ([shown](https://m))\n" in text
    assert "(`b`)" not in text


def test_what_a_host_can_do_depends_on_its_format_its_profile_and_its_models() -> None:
    text = page(
        parse(
            '[providers.x]\nbase_url = "https://x/v1"\ndocs = "https://d"\ndialect = "cohere"\n'
            'quirks = [{ field = "fetches", value = [], link = "https://l" }]\n'
            '[[providers.x.variants]]\nmodels = ["a*", "b"]\n'
            'quirks = [{ field = "thinking", value = "none", link = "https://l" }]\n'
            '[[providers.x.variants]]\nmodels = ["c"]\n'
        )
    )

    assert "\n| **x** | ✓ | ✓ | – | ✓ | ✓ | as data | ✓ | – | – | native | tokens | – | ✓ | – |\n" in text
    assert "\n| x `a*`, `b` | ✓ | ✓ | – | ✓ | ✓ | as data | ✓ | – | – | native | – | – | ✓ | – |\n" in text
    assert "`c`" not in text
