"""A bounded memory by the digest of whole tokens."""

from __future__ import annotations

from isthmusd.core.remembered import Remembered, fingerprint


def test_the_one_that_was_not_asked_for_the_longest_is_forgotten_first() -> None:
    memory: Remembered[int] = Remembered(2)
    memory.put(b"a", 1)
    memory.put(b"b", 2)
    assert memory.get(b"a") == 1

    memory.put(b"c", 3)

    assert [memory.get(name) for name in (b"a", b"b", b"c")] == [1, None, 3]


def test_a_value_that_is_put_again_counts_as_asked_for() -> None:
    memory: Remembered[int] = Remembered(2)
    for name, value in ((b"a", 1), (b"b", 2), (b"a", 3), (b"c", 4)):
        memory.put(name, value)

    assert [memory.get(name) for name in (b"a", b"b", b"c")] == [3, None, 4]


def test_what_is_forgotten_is_gone() -> None:
    memory: Remembered[int] = Remembered(2)
    memory.put(b"a", 1)
    memory.put(b"b", 2)

    memory.forget(b"a")
    memory.forget(b"never there")
    assert [memory.get(name) for name in (b"a", b"b")] == [None, 2]

    memory.clear()
    assert memory.get(b"b") is None


def test_r2_tokens_with_the_same_beginning_have_different_names() -> None:
    start = "sk-" + "a" * 4096

    names = {fingerprint(start + end) for end in ("", "b", "c", "\x00")}

    assert len(names) == 4
    assert all(len(name) == 32 for name in names)
