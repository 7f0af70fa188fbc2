"""Operator messages, and the thread that writes lines."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from isthmusd.observe import sink
from isthmusd.observe.log import Level, Log, adopt_libraries
from isthmusd.observe.sink import LineSink, write_all


@pytest.fixture
def lines() -> list[bytes]:
    return []


def read(lines: list[bytes]) -> list[dict[str, object]]:
    return [msgspec.json.decode(line) for line in lines]


def test_event_and_fields_become_one_json_line(lines: list[bytes]) -> None:
    Log(lines.append).warning("worker_died", pid=4711, path=Path("run/1.sock"))

    (line,) = read(lines)
    assert line["at"]
    assert line | {"at": ""} == {
        "at": "",
        "level": "warning",
        "event": "worker_died",
        "pid": 4711,
        "path": "run/1.sock",
    }


@pytest.mark.parametrize("name", ["api_key", "key", "provider_key", "secret", "token", "Authorization", "cookie"])
def test_secret_fields_are_masked(lines: list[bytes], name: str) -> None:
    Log(lines.append).error("refused", **{name: "sk-very-secret"})

    (line,) = read(lines)
    assert line[name] == "***"
    assert b"sk-very" not in lines[0]


def test_fields_that_only_resemble_a_secret_are_written(lines: list[bytes]) -> None:
    Log(lines.append).info("counted", prompt_tokens=7, key_id="k1", keyboard="x")

    (line,) = read(lines)
    assert (line["prompt_tokens"], line["key_id"], line["keyboard"]) == (7, "k1", "x")


def test_level_is_a_threshold(lines: list[bytes]) -> None:
    log = Log(lines.append, Level.WARNING)

    log.debug("a")
    log.info("b")
    log.warning("c")
    log.error("d")

    assert [line["event"] for line in read(lines)] == ["c", "d"]


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield root
    root.handlers[:], level = before
    root.setLevel(level)


def test_libraries_speak_through_our_lines(lines: list[bytes], root_logger: logging.Logger) -> None:
    adopt_libraries(Log(lines.append))

    logging.getLogger("somelib").info("quiet")
    logging.getLogger("somelib").warning("cannot %s", "connect")
    try:
        _ = 1 // 0
    except ZeroDivisionError:
        logging.getLogger("somelib").exception("broken")

    assert len(root_logger.handlers) == 1
    warning, broken = read(lines)
    assert (warning["level"], warning["logger"], warning["message"]) == ("warning", "somelib", "cannot connect")
    assert broken["level"] == "error"
    assert "ZeroDivisionError" in str(broken["traceback"])


def test_sink_writes_everything_in_order_before_it_closes() -> None:
    reader, writer = os.pipe()
    lines = LineSink(writer)

    lines.write(b"before start\n")
    lines.start()
    for number in range(500):
        lines.write(b"%d\n" % number)
    lines.close()

    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read().splitlines() == [b"before start", *(b"%d" % number for number in range(500))]


def test_reader_that_stands_still_does_not_hold_the_writer_up_and_costs_lines_only() -> None:
    reader, writer = os.pipe()
    lines = LineSink(writer)
    lines.start()

    for _ in range(sink.MAX_WAITING * 2):
        lines.write(b"x" * 100 + b"\n")

    drained: list[bytes] = []
    draining = threading.Thread(target=lambda: drained.extend(iter(lambda: os.read(reader, 1 << 20), b"")))
    draining.start()
    lines.close()
    os.close(writer)
    draining.join()
    os.close(reader)
    written = b"".join(drained).splitlines()
    dropped = sum(msgspec.json.decode(line)["count"] for line in written if b"log_lines_dropped" in line)
    assert dropped > 0
    assert sum(line == b"x" * 100 for line in written) + dropped == sink.MAX_WAITING * 2


def test_closed_reader_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)

    write_all(writer, b"lost\n")

    os.close(writer)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(writer)


@pytest.mark.usefixtures("root_logger")
def test_r11_a_header_that_grpc_cannot_read_is_not_told(lines: list[bytes]) -> None:
    adopt_libraries(Log(lines.append))

    logging.getLogger("grpc._cython.cygrpc").error("Invalid encoding on %s", b"Bearer isk_secret\xff")
    logging.getLogger("grpc._cython.cygrpc").error("another %s", "fault")

    assert [line["message"] for line in read(lines)] == ["another fault"]
