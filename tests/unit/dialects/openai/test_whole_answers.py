"""Whole answers that pass untouched: what is read from them on the way."""

from __future__ import annotations

import pytest
from isthmusd.core.errors import UpstreamError
from isthmusd.core.request import Operation
from isthmusd.dialects.registry import identity

NOTHING = ["", ',"NAME":null', ',"NAME":[]', ',"NAME" : [ \n] ']


@pytest.mark.parametrize("rest", NOTHING)
@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (Operation.CHAT, "choices"),
        (Operation.COMPLETION, "choices"),
        (Operation.EMBEDDING, "data"),
        (Operation.MODERATION, "results"),
    ],
)
@pytest.mark.parametrize("error", ['{"message":"no","type":"invalid_request_error"}', '"no"'])
def test_an_error_in_the_place_of_an_answer_is_raised(error: str, operation: Operation, name: str, rest: str) -> None:
    way = identity("openai", operation)
    assert way is not None

    with pytest.raises(UpstreamError, match=r"no|failed"):
        way.usage_of(f'{{"error":{error}{rest.replace("NAME", name)}}}'.encode())
    assert way.usage_of(f'{{"error":{error},"{name}":[{{"index":0}}]}}'.encode()) is None
    assert way.usage_of(f'{{"error":null{rest.replace("NAME", name)}}}'.encode()) is None
