"""What names an answer: equal for equal calls of one scope, and for no others."""

from __future__ import annotations

from dataclasses import fields, replace
from enum import Enum
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from isthmusd.core.caching import Asked, key_of
from isthmusd.core.profile import Flavour, Profile, Provider
from isthmusd.core.request import Operation
from isthmusd.core.routing import Plan, Target
from isthmusd.core.signing import AwsSigning

SHORT = st.text(alphabet="ab|\x00", max_size=2)
PROVIDERS = st.builds(
    Provider,
    name=SHORT,
    base_url=SHORT,
    endpoint=st.sampled_from([None, "a", "b"]),
    dialect=st.sampled_from(["openai", "cohere"]),
    paths=st.dictionaries(SHORT, SHORT, max_size=2),
    flavours=st.dictionaries(SHORT, st.sampled_from(Flavour), max_size=2),
    profile=st.builds(Profile, accepts_stream_options=st.booleans(), refuses=st.frozensets(SHORT, max_size=2)),
)
TARGETS = st.builds(Target, provider=PROVIDERS, model=SHORT, owner=st.sampled_from([None, "a", "b"]))
ASKED = st.builds(
    Asked,
    operation=st.sampled_from([Operation.CHAT, Operation.COMPLETION]),
    dialect=st.sampled_from(["openai", "isthmus"]),
    canonical=st.binary(max_size=2),
    endpoint=st.none() | SHORT,
    headers=st.lists(st.tuples(SHORT, SHORT), max_size=2).map(tuple),
    plan=st.lists(TARGETS, min_size=1, max_size=2).map(lambda targets: Plan(targets=tuple(targets))),
)
TARGET = Target(provider=Provider(name="p", base_url="https://p.test/v1"), model="m")
CALL = Asked(
    operation=Operation.CHAT,
    dialect="openai",
    canonical=b'{"model":"m"}',
    endpoint=None,
    headers=(),
    plan=Plan(targets=(TARGET,)),
)


def parts(scope: str, asked: Asked) -> tuple[Any, ...]:
    """Say what makes two calls the same one."""
    targets = [_parts_of(target) for target in asked.plan.targets]
    targets = [each for place, each in enumerate(targets) if each not in targets[:place]]
    headers = tuple(sorted(asked.headers))
    together = sorted(targets, key=repr)
    return scope, asked.operation, asked.dialect, asked.canonical, asked.endpoint, headers, together


def _parts_of(target: Target) -> tuple[Any, ...]:
    host = target.provider
    members = sorted(host.paths.items()), sorted(host.flavours.items())
    profile = host.profile.accepts_stream_options, sorted(host.profile.refuses)
    return host.name, host.base_url, target.model, target.endpoint, target.owner, host.dialect, members, profile


@given(SHORT, ASKED, SHORT, ASKED)
@example("a", CALL, "a", replace(CALL))
def test_keys_are_equal_if_all_parts_are(scope: str, asked: Asked, other_scope: str, other: Asked) -> None:
    assert (key_of(scope, asked) == key_of(other_scope, other)) == (parts(scope, asked) == parts(other_scope, other))


@given(SHORT, ASKED, st.data())
def test_one_other_part_is_another_key(scope: str, asked: Asked, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["operation", "dialect", "canonical", "endpoint", "headers", "plan"]))
    other = replace(asked, **{name: getattr(data.draw(ASKED), name)})

    assert (key_of(scope, asked) == key_of(scope, other)) == (parts(scope, asked) == parts(scope, other))
    assert key_of(scope, asked) != key_of(f"{scope}a", asked)


@given(SHORT, ASKED, st.randoms())
def test_the_order_of_headers_and_targets_does_not_count(scope: str, asked: Asked, chance: Any) -> None:
    headers, targets = list(asked.headers), [*asked.plan.targets, asked.plan.targets[0]]
    chance.shuffle(headers)
    chance.shuffle(targets)

    shuffled = replace(asked, headers=tuple(headers), plan=Plan(targets=tuple(targets)))

    assert key_of(scope, shuffled) == key_of(scope, asked)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"dialect": "ab", "endpoint": "c"}, {"dialect": "a", "endpoint": "bc"}),
        ({"endpoint": None}, {"endpoint": ""}),
        ({"endpoint": "a", "headers": ()}, {"endpoint": None, "headers": (("a", ""),)}),
        ({"headers": (("ab", "c"),)}, {"headers": (("a", "bc"),)}),
        ({"headers": (("a", "b"), ("c", "d"))}, {"headers": (("a", "b,c"), ("", "d"))}),
        ({"headers": (("a", "b"),)}, {"headers": (("a", "b"), ("a", "b"))}),
        ({"canonical": b""}, {"canonical": b"\xc4\x00"}),
        ({"headers": (("a", "b"),), "canonical": b""}, {"headers": (), "canonical": b"\x92\xa1a\xa1b"}),
    ],
)
def test_characters_that_move_to_a_neighbour_make_another_key(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert key_of("s", replace(CALL, **one)) != key_of("s", replace(CALL, **other))


def test_characters_do_not_move_between_the_scope_and_the_rest() -> None:
    assert key_of("ab", replace(CALL, dialect="c")) != key_of("a", replace(CALL, dialect="bc"))


@pytest.mark.parametrize(
    "other",
    [
        replace(TARGET, model="n"),
        replace(TARGET, owner="acme"),
        replace(TARGET, provider=replace(TARGET.provider, name="q")),
        replace(TARGET, provider=replace(TARGET.provider, base_url="https://q.test/v1")),
        replace(TARGET, provider=replace(TARGET.provider, endpoint="second")),
        replace(TARGET, provider=replace(TARGET.provider, dialect="cohere")),
        replace(TARGET, provider=replace(TARGET.provider, paths={"chat": "/m/chat?api-version=2024-02-01"})),
        replace(TARGET, provider=replace(TARGET.provider, paths={"chat.stream": "/m/stream"})),
        replace(TARGET, provider=replace(TARGET.provider, flavours={"m": Flavour.COMPLETION})),
        Target(provider=Provider(name="ph", base_url="ttps://p.test/v1"), model="m"),
    ],
)
def test_another_target_is_another_key(other: Target) -> None:
    plans = [(TARGET,), (other,), (TARGET, other)]

    assert len({key_of("s", replace(CALL, plan=Plan(targets=targets))) for targets in plans}) == 3


def another(value: Any) -> Any:
    """Give another value for a field of a profile."""
    match value:
        case bool():
            return not value
        case Enum():
            return next(each for each in type(value) if each is not value)
        case str():
            return value + "x"
        case frozenset() | tuple():
            return type(value)((*value, "x"))
        case None:
            return "x"
        case _:
            return {**value, "x": "y"}


@pytest.mark.parametrize("name", [field.name for field in fields(Profile)])
def test_whatever_a_host_can_do_otherwise_is_another_key(name: str) -> None:
    usual = TARGET.provider.profile
    host = replace(TARGET.provider, profile=replace(usual, **{name: another(getattr(usual, name))}))
    plan = Plan(targets=(replace(TARGET, provider=host),))

    assert key_of("s", replace(CALL, plan=plan)) != key_of("s", CALL)


def test_equal_hosts_are_one_however_they_were_written() -> None:
    words = [f"word{place}" for place in range(50)]

    def written(words: list[str]) -> bytes:
        profile = Profile(refuses=frozenset(words), renames=dict.fromkeys(words, "x"))
        paths, flavours = dict.fromkeys(words, "/x"), dict.fromkeys(words, Flavour.CHAT)
        host = replace(TARGET.provider, profile=profile, paths=paths, flavours=flavours)
        return key_of("s", replace(CALL, plan=Plan(targets=(replace(TARGET, provider=host),))))

    assert written(words) == written(words[::-1])


def test_no_secret_is_in_a_key() -> None:
    signing = AwsSigning(access_key_id="AKIA", secret_access_key="aws-secret", region="r", service="bedrock")
    provider = replace(TARGET.provider, api_key="sk-ours", signing=signing)
    secret = replace(TARGET, secret="sk-live", provider=provider)
    plan = Plan(targets=(secret,))

    assert key_of("s", replace(CALL, plan=plan)) == key_of("s", CALL)
