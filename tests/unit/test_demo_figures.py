"""The figures the demo shows: rates, computed times, and what its table says of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fanout.demo.effects import Verdict
from fanout.demo.gauge import Sample, steady_rate
from fanout.demo.result import COLUMNS, After, Before, Drained, Result, empty_in_s

PROVEN = Verdict(
    records=64_000, effects=64_000, lost=0, duplicated=0, out_of_order=0, foreign=0, repeated=0, findings=()
)


def result(*, rate_before: float = 600.0, verdict: Verdict = PROVEN) -> Result:
    began = Sample(at_s=100.0, handled=4_000, acknowledged=64_000)
    return Result(
        handler_ms=5.0,
        arriving=100,
        before=Before(consumers=3, rate=rate_before),
        drain=Drained(workers=10, targets=30, began=began, records=60_500, rate=1_900.0, killed=frozenset()),
        after=After(emptied_s=40.0, rate=100.2, last=Sample(at_s=145.0, handled=63_897, acknowledged=63_900)),
        verdict=verdict,
        elapsed_s=70.0,
    )


def test_a_steady_rate_leaves_out_starting_up_and_running_dry() -> None:
    starting = [Sample(t, 0, 0) for t in range(10)]
    working = [Sample(10 + t, 100 * t, 0) for t in range(11)]
    drying = [Sample(21 + t, 1_000, 0) for t in range(10)]
    assert steady_rate([*starting, *working, *drying]) == pytest.approx(100)


def test_no_progress_is_a_rate_of_zero() -> None:
    assert steady_rate([]) == 0
    assert steady_rate([Sample(1.0, 5, 9), Sample(2.0, 5, 9)]) == 0


def test_what_arrives_meanwhile_counts_in_the_time_to_empty() -> None:
    assert empty_in_s(60_000, 600, 100) == 120
    assert empty_in_s(60_000, 100, 100) is None


def test_the_table_tells_what_was_computed_from_what_was_measured() -> None:
    rows = {row[0]: dict(zip(COLUMNS, row, strict=True)) for row in result().rows()}
    assert rows["time to empty"]["before"] == "2m (computed)"
    assert rows["time to empty"]["drain"] == "40s (measured)"


def test_what_was_handled_twice_does_not_hide_what_waits() -> None:
    assert result().waiting_after == 3
    assert result(verdict=replace(PROVEN, repeated=40)).waiting_after == 43


def test_a_backlog_that_grows_is_never_empty() -> None:
    slow = result(rate_before=90.0)
    assert slow.empty_before_s is None
    assert "never" in str(slow.rows())


def test_the_document_and_the_line_agree() -> None:
    shown = result()
    document = shown.document()
    assert document["outcome"] == "proven"
    assert document["waiting"] == 60_000
    for figure in ("records", "lost", "duplicated", "out_of_order"):
        assert any(f"{figure}={document[figure]}" in line for line in shown.lines())


def test_a_refuted_proof_says_so_and_where() -> None:
    found = "lost: customer-0001 #4 was acknowledged, and never handled"
    verdict = Verdict(
        records=64_000, effects=63_999, lost=1, duplicated=0, out_of_order=0, foreign=0, repeated=0, findings=(found,)
    )
    refuted = result(verdict=verdict)
    assert refuted.document()["outcome"] == "refuted"
    assert found in refuted.lines()
