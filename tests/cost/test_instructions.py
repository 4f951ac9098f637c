"""What each step of a record's way costs in instructions, held to a stored baseline."""

from __future__ import annotations

import shutil

import pytest

import instructions


@pytest.fixture(scope="module")
def baseline() -> dict[str, float]:
    """What was stored for this compiler, counter and processor."""
    if shutil.which("valgrind") is None:
        pytest.skip(instructions.VALGRIND_MISSING)
    here, stored = instructions.environment(), instructions.stored()
    if here not in stored:
        pytest.skip(f"no baseline for {here}: make instructions STORE=1")
    return stored[here]


def test_no_step_of_a_record_takes_more_instructions_than_it_did(baseline: dict[str, float]) -> None:
    counted = instructions.count()
    print("instructions:", " ".join(f"{part.replace(' ', '-')}={number}" for part, number in counted.items()))
    assert instructions.changes(counted, baseline) == []


def test_a_step_that_became_dearer_or_cheaper_by_more_than_three_percent_is_named() -> None:
    before = {"walk": 100.0, "splice": 100.0, "patch": 100.0}
    moved = instructions.changes({"walk": 103.5, "splice": 102.5, "patch": 96.0}, before)
    assert [line.split(":")[0] for line in moved] == ["walk", "patch"]
    assert "make it as cheap as it was" in moved[0]
    assert "STORE=1" in moved[1]


def test_every_counted_step_has_a_baseline_wherever_one_is_stored() -> None:
    assert instructions.stored()
    for counted in instructions.stored().values():
        assert set(counted) == set(instructions.PARTS)
