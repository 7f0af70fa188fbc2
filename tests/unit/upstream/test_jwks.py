"""How long keys are good, by their provider's word and within our bounds."""

from __future__ import annotations

import pytest
from isthmusd.upstream.jwks import good_for_s
from multidict import CIMultiDict


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 3600),
        ({"cache-control": "public, max-age=19204, must-revalidate, no-transform"}, 19_204),
        ({"cache-control": "MAX-AGE = 600"}, 600),
        ({"cache-control": 'max-age="600"'}, 600),
        ({"cache-control": "max-age=600", "age": "100"}, 500),
        ({"cache-control": "max-age=600", "age": "590"}, 60),
        ({"cache-control": "max-age=600", "age": "soon"}, 600),
        ({"cache-control": "max-age=600", "age": "-5"}, 600),
        ({"cache-control": "max-age=0"}, 60),
        ({"cache-control": "max-age=999999999"}, 86_400),
        ({"cache-control": "max-age=9999999999999"}, 3600),
        ({"cache-control": "s-max-age=7, no-store"}, 3600),
        ({"cache-control": "max-age=-1"}, 3600),
    ],
)
def test_keys_are_good_for_as_long_as_is_said_within_bounds(headers: dict[str, str], seconds: float) -> None:
    assert good_for_s(CIMultiDict(headers)) == seconds


def test_the_header_may_be_there_several_times() -> None:
    headers = CIMultiDict([("cache-control", "public"), ("cache-control", "max-age=600")])

    assert good_for_s(headers) == 600
