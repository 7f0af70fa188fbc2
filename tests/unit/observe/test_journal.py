"""Records as log lines."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from isthmusd.core.record import Bodies, EndReason, Record
from isthmusd.core.request import Loss
from isthmusd.observe.journal import DeferredJournal, Journals, LogJournal
from isthmusd.observe.log import Level

from tests.unit.observe.sample import RECORD


def written(record: Record, level: Level = Level.INFO) -> list[dict[str, object]]:
    lines: list[bytes] = []
    LogJournal(lines.append, level).write(record)
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    return [msgspec.json.decode(line) for line in lines]


def test_record_becomes_one_line_with_its_own_fields() -> None:
    (line,) = written(RECORD)

    assert line["at"] == "2023-11-14T22:13:21.250Z"
    assert (line["level"], line["event"]) == ("info", "call")
    assert line["request_id"] == "req-1"
    assert line["attempts"] == [
        {
            "provider": "openai",
            "model": "gpt-4o-mini",
            "status": 200,
            "duration_s": 1.1,
            "error": None,
            "upstream_request_id": None,
            "endpoint": None,
        }
    ]
    assert list(line)[:3] == ["at", "level", "event"]


def test_what_was_asked_and_answered_is_in_no_line() -> None:
    bodies = Bodies(asked=b"the question", answered=b"the answer")

    (line,) = written(replace(RECORD, bodies=bodies))

    assert "bodies" not in line
    assert [line] == written(RECORD)


def test_losses_and_multi_line_details_stay_on_one_line() -> None:
    loss = Loss(field="logit_bias", reason="not known there")

    (line,) = written(replace(RECORD, losses=(loss,), detail="Traceback:\n  line\n"))

    assert line["losses"] == [{"field": "logit_bias", "reason": "not known there"}]
    assert line["detail"] == "Traceback:\n  line\n"


@pytest.mark.parametrize(
    ("end", "level"),
    [
        (EndReason.COMPLETE, "info"),
        (EndReason.REFUSED, "info"),
        (EndReason.CANCELLED, "info"),
        (EndReason.FAILED, "warning"),
        (EndReason.INTERRUPTED, "warning"),
        (EndReason.BUG, "error"),
    ],
)
def test_the_end_of_a_call_gives_the_level(end: EndReason, level: str) -> None:
    (line,) = written(replace(RECORD, end=end))

    assert line["level"] == level


def test_lines_below_the_level_are_not_written() -> None:
    assert written(RECORD, Level.WARNING) == []
    assert len(written(replace(RECORD, end=EndReason.FAILED), Level.WARNING)) == 1


def test_several_journals_each_take_every_record_in_order() -> None:
    class Names:
        def __init__(self, name: str) -> None:
            self.name = name

        def write(self, record: Record) -> None:
            seen.append(f"{self.name}:{record.request_id}")

    seen: list[str] = []
    journals = Journals([Names("a"), Names("b")])

    journals.write(RECORD)
    journals.write(replace(RECORD, request_id="req-2"))

    assert seen == ["a:req-1", "b:req-1", "a:req-2", "b:req-2"]


def test_a_record_that_cannot_be_written_takes_no_other_along(capfd: pytest.CaptureFixture[str]) -> None:
    lines: list[bytes] = []
    journal = DeferredJournal(LogJournal(lines.append))
    journal.start()

    for request_id in ("req-1", "\udce9", "req-3"):
        journal.write(replace(RECORD, request_id=request_id))
    journal.close()

    assert [msgspec.json.decode(line)["request_id"] for line in lines] == ["req-1", "req-3"]
    assert "UnicodeEncodeError" in capfd.readouterr().err
