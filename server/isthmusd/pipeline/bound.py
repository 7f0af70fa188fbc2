"""What callers who are bound to models must not say beside the model's name: where else a provider may look for one.
Whether that name itself is granted is `resolve.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote_plus

from isthmusd.core.call import Principal
from isthmusd.core.errors import PermissionDenied, shown
from isthmusd.core.paths import ForwardPath

OTHER_MODELS = frozenset(
    {
        *("models", "fallbacks", "fallback_models", "preset"),
        *("model_id", "modelid", "model_name", "modelname", "engine", "deployment"),
    }
)
"""Members and parameters: of routers that take models to fall back on, and of hosts that call the model otherwise."""
NAMED_BY_PATH = frozenset({"model", "models", "deployments", "engines", "endpoints", "publishers", "run"})
"""Segments that are followed by a model's name, at hosts that have it in the path."""
SEPARATORS = re.compile("[&;]")


def refuse_other_models(principal: Principal, members: Iterable[str]) -> None:
    """Look at the names of a body's members. Raises PermissionDenied."""
    if principal.grants.models is None:
        return
    for name in members:
        if name.casefold() in OTHER_MODELS:
            raise _could_name_others(f"'{shown(name)}'")


def refuse_models_of_path(principal: Principal, path: ForwardPath) -> None:
    """Look at a forwarded call's path and query. Raises PermissionDenied."""
    if principal.grants.models is None:
        return
    for segment in unquote_plus(path.path).split("/"):
        if segment.casefold() in NAMED_BY_PATH:
            raise _could_name_others("this path")
    for parameter in SEPARATORS.split(path.query.removeprefix("?")):
        name = unquote_plus(parameter.partition("=")[0]).casefold()
        if name == "model" or name in OTHER_MODELS:
            raise _could_name_others("the query")


def _could_name_others(what: str) -> PermissionDenied:
    return PermissionDenied(
        f"your key is bound to models, and {what} could name others: name the model in the body, as 'model'",
        code="model_not_allowed",
    )
