"""What a target's profile changes among a request's top-level members: other names, and members that it answers with
an error. The same rules hold for a body whose bytes pass and for one written from the hub; what lies inside messages is
`passing.py` and `message.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import msgspec

from isthmusd.core.profile import Profile
from isthmusd.core.request import Loss

_DEFAULTS: dict[str, tuple[object, ...]] = {
    "temperature": (1,),
    "top_p": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "metadata": ({},),
    "store": (False,),
    "parallel_tool_calls": (True,),
    "service_tier": ("auto", "default"),
    "verbosity": ("medium",),
    "modalities": (["text"],),
    "response_format": ({"type": "text"},),
    "tool_choice": ("auto",),
    "encoding_format": ("float",),
    "stop": ([],),
    "tools": ([],),
}
"""What a member may say that is so without it: leaving that out loses nothing. Null is such a value of every member."""

_SILENT = frozenset({"stream_options"})
"""Leaving it out changes what is reported of an answer, not the answer."""

_OPTIONS = "stream_options"


@dataclass(slots=True)
class Changes:
    """Members to rename and to drop, and what is lost by that."""

    renamed: dict[str, str] = field(default_factory=dict[str, str])
    dropped: set[str] = field(default_factory=set[str])
    losses: list[Loss] = field(default_factory=list[Loss])

    def __bool__(self) -> bool:
        return bool(self.renamed or self.dropped)


def changes_for(names: Collection[str], value_of: Callable[[str], object], profile: Profile) -> Changes | None:
    """Tell what must change among the members `names`; None if nothing. Values are asked for only where they matter."""
    if not profile.renames and not profile.refuses and profile.accepts_stream_options:
        return None
    changes = Changes()
    if not profile.accepts_stream_options and _OPTIONS in names:
        changes.dropped.add(_OPTIONS)
    for ours, theirs in profile.renames.items():
        if ours in names:
            _rename(ours, theirs, names, value_of, changes)
    # Sorted: losses are told in the same order every time.
    for name in sorted(profile.refuses.intersection(names)):
        if name not in changes.renamed:
            changes.dropped.add(name)
            if name not in _SILENT and not _says_nothing(name, value_of(name)):
                changes.losses.append(Loss(field=name, reason="the provider does not accept this field"))
    return changes or None


def fitted(members: dict[str, object], profile: Profile, losses: list[Loss]) -> dict[str, object]:
    """Give the members to write as the target takes them."""
    changes = changes_for(members, lambda name: _plain(members[name]), profile)
    if changes is None:
        return members
    losses += changes.losses
    return {changes.renamed.get(name, name): value for name, value in members.items() if name not in changes.dropped}


def _rename(
    ours: str, theirs: str, names: Collection[str], value_of: Callable[[str], object], changes: Changes
) -> None:
    if theirs not in names:
        changes.renamed[ours] = theirs
        return
    # Both are there: the caller knows this host, so its own name counts.
    given, native = value_of(ours), value_of(theirs)
    if native is None and given is not None:
        changes.dropped.add(theirs)
        changes.renamed[ours] = theirs
        return
    changes.dropped.add(ours)
    if given is not None and given != native:
        reason = f"the provider has one field for this, {theirs!r}, which is set too"
        changes.losses.append(Loss(field=ours, reason=reason))


def _says_nothing(name: str, value: object) -> bool:
    if value is None:
        return True
    # False and 0 are equal in Python, and not in JSON.
    return any(value == default and type(value) in _like(default) for default in _DEFAULTS.get(name, ()))


def _like(default: object) -> tuple[type, ...]:
    return (int, float) if type(default) is int else (type(default),)


def _plain(value: object) -> object:
    """Give a value as JSON reads it, whatever form it waits in."""
    return msgspec.json.decode(msgspec.json.encode(value))
