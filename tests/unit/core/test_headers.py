"""Header lookup."""

from __future__ import annotations

from isthmusd.core.headers import collect_headers, first


def test_values_are_grouped_by_lower_case_name_in_order() -> None:
    headers = collect_headers([("X-A", "1"), ("b", "2"), ("x-a", "3")])

    assert headers == {"x-a": ["1", "3"], "b": ["2"]}
    assert first(headers, "x-a") == "1"


def test_an_absent_header_has_no_first_value() -> None:
    assert first({}, "x-a") is None
    assert first({"x-a": []}, "x-a") is None
