"""What is remembered, forgotten and read again."""

from __future__ import annotations

from isthmusd.stores.remembered import UNKNOWN, Remembered


def test_the_thing_that_was_not_asked_for_the_longest_is_forgotten() -> None:
    memory: Remembered[str] = Remembered(2, 2)
    memory.put("a", "A")
    memory.put("b", "B")
    memory.find("a")

    memory.put("c", "C")

    assert [memory.find(name) for name in "abc"] == ["A", UNKNOWN, "C"]


def test_absences_push_out_absences_only() -> None:
    memory: Remembered[str] = Remembered(1, 2)
    memory.put("there", "T")

    for name in "abc":
        memory.put(name, None)
        memory.find("a")

    assert memory.find("there") == "T"
    assert [memory.find(name) for name in "abc"] == [None, UNKNOWN, None]


def test_absences_of_what_nobody_tells_are_not_remembered() -> None:
    memory: Remembered[str] = Remembered(1, 0)

    memory.put("a", None)

    assert memory.find("a") is UNKNOWN


def test_a_value_and_its_absence_are_forgotten_alike() -> None:
    memory: Remembered[str] = Remembered(2, 2)
    memory.put("a", "A")
    memory.put("b", None)

    memory.forget("a", 1)
    memory.forget("b", 2)

    assert [memory.find(name) for name in "ab"] == [UNKNOWN, UNKNOWN]


def test_all_is_forgotten_at_once() -> None:
    memory: Remembered[str] = Remembered(2, 2)
    memory.put("a", "A")
    memory.put("b", None)

    memory.forget_all()

    assert [memory.find(name) for name in "ab"] == [UNKNOWN, UNKNOWN]
