"""Callers who are bound to models name no model but where it is looked at."""

from __future__ import annotations

import pytest
from isthmusd.core.call import AuthMethod, Principal
from isthmusd.core.errors import PermissionDenied
from isthmusd.core.paths import ForwardPath
from isthmusd.core.tenants import Grants
from isthmusd.pipeline.bound import OTHER_MODELS, refuse_models_of_path, refuse_other_models

FREE = Principal(tenant="t", key_id="k", method=AuthMethod.GATEWAY_KEY)
BOUND = Principal(tenant="t", key_id="k", method=AuthMethod.GATEWAY_KEY, grants=Grants(models=frozenset({"m"})))


@pytest.mark.parametrize("name", [*sorted(OTHER_MODELS), "Models", "FALLBACKS"])
def test_r25_further_models_of_a_body_are_refused(name: str) -> None:
    with pytest.raises(PermissionDenied) as refusal:
        refuse_other_models(BOUND, ("model", name))

    assert refusal.value.code == "model_not_allowed"
    refuse_other_models(FREE, ("model", name))


def test_other_members_are_nobodys_business() -> None:
    refuse_other_models(BOUND, ("model", "messages", "tools", "metadata"))


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("model/x/invoke", ""),
        ("Models/x:generateContent", ""),
        ("openai/deployments/x/chat/completions", "?api-version=1"),
        ("openai/deploy%6Dents/x", ""),
        ("listen", "?model=x"),
        ("listen", "?a=1&MODEL=x"),
        ("listen", "?a=1;mod%65l=x"),
        ("listen", "?model"),
        ("listen", "?models=x"),
    ],
)
def test_r25_models_of_paths_and_queries_are_refused(path: str, query: str) -> None:
    with pytest.raises(PermissionDenied) as refusal:
        refuse_models_of_path(BOUND, ForwardPath(path, query))

    assert refusal.value.code == "model_not_allowed"
    refuse_models_of_path(FREE, ForwardPath(path, query))


def test_other_paths_and_queries_are_free() -> None:
    refuse_models_of_path(BOUND, ForwardPath("images/generations", "?limit=1&after=model&remodel=1"))
