"""Whole answers that pass untouched: what is read from them on the way."""

from __future__ import annotations

import pytest
from isthmusd.core.errors import UpstreamError
from isthmusd.core.request import Operation
from isthmusd.dialects.registry import identity


@pytest.mark.parametrize("error", ['{"message":"no","type":"invalid_request_error"}', '"no"'])
def test_an_error_in_the_place_of_an_answer_is_raised(error: str) -> None:
    way = identity("openai", Operation.CHAT)
    assert way is not None

    with pytest.raises(UpstreamError, match=r"no|failed"):
        way.usage_of(f'{{"error":{error}}}'.encode())
    assert way.usage_of(f'{{"error":{error},"choices":[]}}'.encode()) is None
    assert way.usage_of(b'{"error":null}') is None
