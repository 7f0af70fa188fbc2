"""Which model a forwarded body names. What a name means is `resolve.py`'s; complete bodies of model routes are the
dialects'."""

from __future__ import annotations

import re

import msgspec

from isthmusd.core.call import Principal
from isthmusd.core.errors import InvalidRequest, PermissionDenied
from isthmusd.core.headers import Headers, first
from isthmusd.framing.members import Members, read_members
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
    if not JSON.fullmatch(_content_type(headers)):
        return None
    if upload.complete:
        try:
            # Some fifty times faster than a search.
            return _named_in(read_members(upload.prefix))
        except InvalidRequest:
            pass  # all of it but the model is the provider's to refuse
    return find_string_member(upload.prefix, MEMBER)


def _surely_named(headers: Headers, upload: Upload, principal: Principal) -> Found:
    encoding = (first(headers, "content-encoding") or "identity").lower()
    if not upload.complete or encoding != "identity" or not PLAIN_JSON.fullmatch(_content_type(headers)):
        raise _unnamed()
    members = read_members(upload.prefix)
    found = _named_in(members)
    if found is None:
        raise _unnamed()
    refuse_other_models(principal, members.spans)
    return found


def _named_in(members: Members) -> Found | None:
    try:
        return msgspec.json.decode(members.values.get(MEMBER, b""), type=str), members.spans[MEMBER]
    except msgspec.DecodeError:
        return None


def _content_type(headers: Headers) -> str:
    return (first(headers, "content-type") or "").strip()


def _unnamed() -> PermissionDenied:
    return PermissionDenied(
        "your key is bound to models: send a JSON body of at most one mebibyte, uncompressed, that names one of them",
        code="model_not_allowed",
    )
