"""Kept answers: one that uses every member, and arbitrary ones. What becomes of them is not here."""

from __future__ import annotations

from hypothesis import strategies as st
from isthmusd.core.entry import Entry, Form, Head
from isthmusd.core.reply import Provenance
from isthmusd.core.request import Loss
from isthmusd.core.usage import Usage

HEAD = Head(
    form=Form(stream=True, include_usage=True),
    status=200,
    headers=(("openai-version", "1"), ("openai-version", "2"), ("x-ratelimit-limit-requests", "9")),
    provenance=Provenance(
        provider="p",
        model="m",
        endpoint="e",
        attempts=2,
        upstream_request_id="r",
        losses=(Loss(field="seed", reason="none there"),),
        personal=False,
    ),
    stored_at=1_700_000_000.25,
    ttl_s=60,
)
ENTRY = Entry(
    head=HEAD,
    pieces=(b'data: {"a":1}\n\n', b"", b"data: [DONE]\n\n"),
    usage=Usage(prompt_tokens=1, estimated=True, extra=(("cost", "0.10"),)),
)
TEXT = st.text(max_size=5)
MAYBE = st.none() | TEXT
COUNT = st.none() | st.integers(min_value=0, max_value=2**63 - 1)
PAIRS = st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple)
HEADS = st.builds(
    Head,
    form=st.builds(Form, stream=st.booleans(), include_usage=st.booleans()),
    status=st.integers(100, 599),
    headers=PAIRS,
    provenance=st.builds(
        Provenance,
        provider=MAYBE,
        model=MAYBE,
        endpoint=MAYBE,
        attempts=st.integers(0, 9),
        upstream_request_id=MAYBE,
        losses=st.lists(st.builds(Loss, field=TEXT, reason=TEXT), max_size=2).map(tuple),
        personal=st.booleans(),
    ),
    stored_at=st.floats(allow_nan=False),
    ttl_s=st.integers(0, 604_800),
)
USAGES = st.builds(
    Usage,
    prompt_tokens=COUNT,
    completion_tokens=COUNT,
    total_tokens=COUNT,
    reasoning_tokens=COUNT,
    estimated=st.booleans(),
    extra=PAIRS,
)
ENTRIES = st.builds(
    Entry, head=HEADS, pieces=st.lists(st.binary(max_size=9), max_size=3).map(tuple), usage=st.none() | USAGES
)
