"""Which calls the cache may serve, by the table that the behaviour of the gateway is described in. Whose answers are
shared, and what names one, is `test_cache_scopes.py`'s and `test_cache_keys.py`'s.
"""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest
from isthmus.v1.completion_pb2 import CompletionRequest
from isthmusd.core.caching import CachePolicy, policy_for, read_cache_control, sets_cookie
from isthmusd.core.call import CacheMode, CacheWish
from isthmusd.core.request import Operation, Peeked
from isthmusd.dialects import registry

ABSENT = None
TEMPERATURES = {ABSENT: False, "0": True, "0.0": True, "-0.0": True, "0.5": False, "null": False} | {
    '"0"': False,
    "false": False,
}
"""The JSON text in the body, and whether it promises the same answer to the same request."""
SEEDS = {ABSENT: False, "null": False, "0": True, "7": True, "12345678901234567890123": True}
BODIES: dict[Operation, dict[str, Any]] = {
    Operation.CHAT: {"messages": [{"role": "user", "content": "Hi"}]},
    Operation.COMPLETION: {"prompt": "Hi"},
    Operation.AUTO: {"prompt": "Hi"},
    Operation.EMBEDDING: {"input": "Hi"},
    Operation.MODERATION: {"input": "Hi"},
    Operation.RESPONSES: {"input": "Hi"},
}
BY_REQUEST = {Operation.CHAT, Operation.COMPLETION, Operation.RESPONSES}
"""Operations that are cached where the request promises the same answer."""
UNASKED = {Operation.EMBEDDING, Operation.MODERATION}
"""Operations that are cached without it."""
NEVER = {
    Operation.AUTO,
    Operation.MODELS,
    Operation.CREDENTIALS,
    Operation.KEYS,
    Operation.FORWARD,
    Operation.TENANT_FORWARD,
    Operation.ADMIN,
}
CONTROLS: dict[tuple[str, ...], tuple[bool, bool, int | None]] = {
    (): (True, True, None),
    ("",): (True, True, None),
    ("no-cache",): (False, True, None),
    ("no-store",): (True, False, None),
    ("no-cache, no-store",): (False, False, None),
    ("no-store", "no-cache"): (False, False, None),
    ("NO-CACHE,No-Store",): (False, False, None),
    (" no-store ,, private",): (True, False, None),
    ("max-age=0",): (False, True, None),
    ("max-age=0, no-store",): (False, False, None),
    ("max-age=5",): (True, True, 5),
    ("Max-Age = 5",): (True, True, 5),
    ('max-age="5"',): (True, True, 5),
    ("max-age=0000000000000005",): (True, True, 5),
    ("max-age=9", "max-age=5, max-age=7"): (True, True, 5),
    ("no-cache, max-age=5",): (False, True, 5),
    ("no-store", "MAX-AGE=5"): (True, False, 5),
    ("max-age=604800",): (True, True, 604_800),
    ("max-age=31536000000",): (True, True, 2**31),
    ("max-age=" + "9" * 5_000,): (True, True, 2**31),
    ("max-age=abc",): (False, True, None),
    ("max-age",): (False, True, None),
    ("max-age=",): (False, True, None),
    ("max-age=-1",): (False, True, None),
    ("max-age=1.5",): (False, True, None),
    ('max-age="5',): (False, True, None),
    ("max-age=\u0665",): (False, True, None),
    ("max-age=5, max-age=abc",): (False, True, None),
    ("only-if-cached, max-stale=5, min-fresh=1, s-maxage=0, no-transform",): (True, True, None),
    ("no-cachet, xno-store, no-store2",): (True, True, None),
    ('private="a, no-store, b"',): (True, False, None),
}
"""The lines of the header, and whether the cache is read, is written, and how old an answer may be."""


def peeked(operation: Operation, temperature: str | None, seed: str | None) -> Peeked:
    """Look into a real body; for operations whose bodies nobody looks into, give what they would say."""
    if operation not in BODIES:
        return Peeked(model="m", temperature=0.0 if TEMPERATURES[temperature] else None, seed=seed)
    given = {"temperature": temperature, "seed": seed}
    members = [f'"{name}":{text}' for name, text in given.items() if text is not ABSENT]
    body = ",".join([json.dumps({"model": "m", **BODIES[operation]})[:-1], *members]) + "}"
    return registry.served("openai", operation).peek(body.encode())


def policy(operation: Operation, mode: CacheMode, look: Peeked, control: tuple[str, ...]) -> CachePolicy | None:
    said = read_cache_control(control)
    wish = CacheWish(mode=mode, ttl_s=60, reads=not said.no_cache, writes=not said.no_store, max_age_s=said.max_age_s)
    return policy_for(operation, look, wish)


def expected(
    operation: Operation, mode: str, promises: bool, allowed: tuple[bool, bool, int | None]
) -> tuple[bool, bool, int | None] | None:
    """Say what the described behaviour is."""
    if operation in NEVER or mode == "never":
        return None
    if mode == "auto" and operation in BY_REQUEST and not promises:
        return None
    return None if allowed[:2] == (False, False) else allowed


def test_every_operation_is_in_the_table() -> None:
    assert set(Operation) == BY_REQUEST | UNASKED | NEVER
    assert set(BODIES) == BY_REQUEST | UNASKED | {Operation.AUTO}


@pytest.mark.parametrize("mode", ["auto", "always", "never"])
@pytest.mark.parametrize("operation", Operation)
def test_the_truth_table(operation: Operation, mode: str) -> None:
    for temperature, seed in product(TEMPERATURES, SEEDS):
        look = peeked(operation, temperature, seed)
        promises = TEMPERATURES[temperature] or SEEDS[seed]
        for control, allowed in CONTROLS.items():
            made = policy(operation, CacheMode(mode), look, control)

            decided = None if made is None else (made.reads, made.writes, made.max_age_s)
            case = (operation, mode, temperature, seed, control)
            assert decided == expected(operation, mode, promises, allowed), case
            assert made is None or made.ttl_s == 60, case


@pytest.mark.parametrize(
    ("fields", "cached"),
    [
        ({}, False),
        ({"seed": 0}, True),
        ({"seed": -1}, True),
        ({"temperature": 0.0}, True),
        ({"temperature": -0.0}, True),
        ({"temperature": 0.1}, False),
        ({"temperature": float("nan")}, False),
        ({"extra_json": '{"seed":12345678901234567890123}'}, True),
        ({"extra_json": '{"seed":null,"temperature":"0"}'}, False),
    ],
)
def test_typed_requests_are_judged_alike(fields: dict[str, Any], cached: bool) -> None:
    look = registry.served("isthmus", Operation.COMPLETION).peek(CompletionRequest(model="m", **fields))

    assert (policy(Operation.COMPLETION, CacheMode.AUTO, look, ()) is not None) is cached


@pytest.mark.parametrize("conversation", ['"conv_1"', '{"id":"conv_1"}', "null"])
@pytest.mark.parametrize("mode", CacheMode)
def test_a_call_that_adds_to_a_conversation_is_always_made(mode: CacheMode, conversation: str) -> None:
    body = '{"model":"m","input":"Hi","temperature":0,"conversation":' + conversation + "}"
    look = registry.served("openai", Operation.RESPONSES).peek(body.encode())

    assert policy(Operation.RESPONSES, mode, look, ()) is None


def test_a_member_called_conversation_of_other_calls_says_nothing() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"Hi"}],"temperature":0,"conversation":"a"}'
    look = registry.served("openai", Operation.CHAT).peek(body)

    assert policy(Operation.CHAT, CacheMode.AUTO, look, ()) is not None


@pytest.mark.parametrize(
    ("reads", "max_age_s", "age_s", "accepted"),
    [
        (True, None, 604_800.0, True),
        (True, 5, 4.9, True),
        (True, 5, 5.0, True),
        (True, 5, 5.1, False),
        (True, 5, -1.0, True),
        (False, None, 0.0, False),
        (False, 5, 0.0, False),
    ],
)
def test_an_age_that_serves(reads: bool, max_age_s: int | None, age_s: float, accepted: bool) -> None:
    made = CachePolicy(reads=reads, writes=True, ttl_s=9, max_age_s=max_age_s)

    assert made.accepts(age_s) is accepted


@pytest.mark.parametrize(
    ("cookies", "somebodys"),
    [
        ([], False),
        (["__cf_bm=abc; path=/; HttpOnly"], False),
        (["_cfuvid=a", " __CFLB=b", "cf_clearance=c"], False),
        (
            ["AWSALB=a", "AWSALBCORS=b", "AWSELB=c", "GAESA=d", "GCLB=e", "ARRAffinity=f", "ARRAffinitySameSite=g"],
            False,
        ),
        (["ak_bmsc=a", "bm_sv=b", "_abck=c", "incap_ses_12_34=d", "visid_incap_34=e", "nlbi_34_56=f"], False),
        (["session=abc"], True),
        (["__cf_bm=abc", "session=abc"], True),
        (["session=__cf_bm=1"], True),
        (["bm_user=abc"], True),
        (["cf_user=abc"], True),
        (["_cfuvid2=abc"], True),
        (["incap_ses_user=abc"], True),
        (["gaesab=abc"], True),
        ([""], True),
        (["=__cf_bm"], True),
    ],
)
def test_cookies_that_make_an_answer_somebodys_own(cookies: list[str], somebodys: bool) -> None:
    assert sets_cookie(cookies) is somebodys
