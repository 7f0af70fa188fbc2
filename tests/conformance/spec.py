"""Holds answers against OpenAI's published schema, where the reference files lie beside the checkout. What is right of
an answer beyond its shape is judged elsewhere.
"""

from __future__ import annotations

from typing import Any

from tests.golden import recorded as recordings

PRESENT = (recordings.SHARED / "tools" / "spec_check.py").exists()


def complaints(kind: str, value: Any) -> list[str]:
    """Say what the schema has against a `chat`, `chunk`, `embeddings`, `completion` or `error`; absent, nothing."""
    return [f"no {kind} of OpenAI's: {one}" for one in recordings.judge()(kind, value)] if PRESENT else []
