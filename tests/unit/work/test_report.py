"""What crosses from a worker to its supervisor."""

from __future__ import annotations

import logging
import os

from fanout.errors import ConfigError, HaltedError, WorkError
from fanout.work.report import ReportedLogs, Reporter, read_report, to_error


def sent(*, by: object) -> bytes:
    """What `by` writes to its pipe."""
    read, write = os.pipe()
    assert callable(by)
    by(Reporter(write))
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        return pipe.read()


def test_an_error_arrives_as_it_was_raised() -> None:
    for error in (ConfigError("--topic", "none"), HaltedError("orders", 1, 5, "broken", "look"), WorkError("a", "b")):
        restored = to_error(read_report(sent(by=lambda reporter, error=error: reporter.failed(error))))
        assert (type(restored), restored.args) == (type(error), error.args)


def test_an_error_of_another_kind_is_no_class_to_be_looked_up() -> None:
    restored = to_error({"error": "annotations", "arguments": ["x"]})
    assert isinstance(restored, WorkError)


def test_text_that_is_no_utf_8_arrives_too() -> None:
    text = "\udc80 and \ud800"
    assert read_report(sent(by=lambda reporter: reporter.send("stats", parked=[text])))["parked"] == [text]


def test_a_log_record_arrives_with_its_traceback() -> None:
    def log(reporter: Reporter) -> None:
        logger = logging.getLogger("shop.report")
        logger.addHandler(ReportedLogs(reporter))
        try:
            int("no number")
        except ValueError:
            logger.exception("failed %d times", 2)
        logger.handlers.clear()

    report = read_report(sent(by=log))
    assert (report["logger"], report["level"]) == ("shop.report", logging.ERROR)
    assert report["text"].startswith("failed 2 times\nTraceback")
    assert report["text"].endswith("'no number'")


def test_a_supervisor_that_is_gone_is_no_error_here() -> None:
    read, write = os.pipe()
    os.close(read)
    Reporter(write).send("stats")
    os.close(write)
