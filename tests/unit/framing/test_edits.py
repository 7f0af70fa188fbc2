"""Members of an object in its text: renamed, replaced, dropped and added, every other byte kept."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from isthmusd.framing.edits import Edits, edit
from isthmusd.framing.members import read_members

ODD = b'{ "a" : 1.0 ,\t"b\\u0062":[ {"a":2} ] , "c": "x,\\"}" }\n'


def edited(body: bytes, edits: Edits) -> bytes:
    return edit(body, read_members(body).spans, edits)


def test_nothing_to_change_gives_the_same_bytes() -> None:
    assert edited(ODD, Edits()) == ODD
    assert edited(b"{}", Edits()) == b"{}"


def test_a_key_changes_and_its_value_stays() -> None:
    assert edited(ODD, Edits(renamed={"bb": "n"})) == ODD.replace(b'"b\\u0062"', b'"n"')
    assert edited(ODD, Edits(renamed={"a": "n"}, replaced={"a": b"2"})) == ODD.replace(b'"a" : 1.0', b'"n" : 2')


def test_members_go_with_their_commas() -> None:
    assert edited(ODD, Edits(dropped={"a"})) == b'{\t"b\\u0062":[ {"a":2} ] , "c": "x,\\"}" }\n'
    assert edited(ODD, Edits(dropped={"bb"})) == b'{ "a" : 1.0 , "c": "x,\\"}" }\n'
    assert edited(ODD, Edits(dropped={"c"})) == b'{ "a" : 1.0 ,\t"b\\u0062":[ {"a":2} ] }\n'
    assert edited(ODD, Edits(dropped={"a", "bb"})) == b'{ "c": "x,\\"}" }\n'
    assert edited(ODD, Edits(dropped={"a", "bb", "c"})) == b"{ }\n"


def test_added_members_come_last() -> None:
    assert edited(b'{"a":1}', Edits(dropped={"a"}, added=[("b", b"2"), ("c", b"3")])) == b'{"b":2,"c":3}'
    assert edited(b'{"a":1,"d":4}', Edits(dropped={"a"}, added=[("b", b"2")])) == b'{"d":4,"b":2}'


names = st.text("abc,:\"'{}\\ \u00e4", max_size=4)


@given(st.dictionaries(names, st.integers() | st.text() | st.lists(st.integers())), st.data())
def test_the_text_says_what_the_edits_say(members: dict[str, object], data: st.DataObject) -> None:
    known = sorted(members)
    dropped = set(data.draw(st.lists(st.sampled_from(known), max_size=3) if known else st.just([])))
    kept = [name for name in known if name not in dropped]
    renamed = {name: f"new {name}" for name in data.draw(st.lists(st.sampled_from(kept)) if kept else st.just([]))}
    replaced = {name: b"null" for name in data.draw(st.lists(st.sampled_from(kept)) if kept else st.just([]))}
    spaced = data.draw(st.booleans())
    body = msgspec.json.encode(members)
    body = msgspec.json.format(body, indent=2) if spaced else body

    written = edited(body, Edits(dropped=dropped, renamed=renamed, replaced=replaced, added=[("added", b"1")]))

    expected = [
        (renamed.get(name, name), None if name in replaced else value)
        for name, value in members.items()
        if name not in dropped
    ]
    assert list(msgspec.json.decode(written, type=dict[str, object]).items()) == [*expected, ("added", 1)]
