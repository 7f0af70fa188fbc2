"""Which model a forwarded body names. What a name means is `resolve.py`'s; complete bodies of model routes are the
dialects'."""

from __future__ import annotations

import re

import msgspec

from isthmusd.core.call import Principal
from isthmusd.core.errors import PermissionDenied
from isthmusd.core.headers import Headers, first
from isthmusd.framing.members import read_members
from isthmusd.framing.prefix import Found, find_string_member
from isthmusd.pipeline.bodies import JSON
from isthmusd.pipeline.bound import refuse_other_models
from isthmusd.pipeline.uploads import Upload

MEMBER = "model"
PLAIN_JSON = re.compile(r'application/json\s*(?:;\s*charset\s*=\s*"?utf-8"?\s*)?', re.IGNORECASE)
"""JSON that can be read in one way only: another charset could make other names of the same bytes."""


def named_model(headers: Headers, upload: Upload, principal: Principal) -> Found | None:
    """Find the model in the body's beginning. Raises InvalidRequest for a body that names it in more than one way.

    For a caller who is bound to models nothing is guessed: the whole body must be there, and be JSON that names one;
    else PermissionDenied.
    """
    if principal.grants.models is not None:
        return _surely_named(headers, upload, principal)
    return find_string_member(upload.prefix, MEMBER) if JSON.fullmatch(_content_type(headers)) else None


def _surely_named(headers: Headers, upload: Upload, principal: Principal) -> Found:
    encoding = (first(headers, "content-encoding") or "identity").lower()
    if not upload.complete or encoding != "identity" or not PLAIN_JSON.fullmatch(_content_type(headers)):
        raise _unnamed()
    members = read_members(upload.prefix)
    try:
        model = msgspec.json.decode(members.values.get(MEMBER, b""), type=str)
    except msgspec.DecodeError:
        raise _unnamed() from None
    refuse_other_models(principal, members.spans)
    return model, members.spans[MEMBER]


def _content_type(headers: Headers) -> str:
    return (first(headers, "content-type") or "").strip()


def _unnamed() -> PermissionDenied:
    return PermissionDenied(
        "your key is bound to models: send a JSON body of at most one mebibyte, uncompressed, that names one of them",
        code="model_not_allowed",
    )
