"""Places, lengths of time and selections, as they are written on the command line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout.config.durations import duration_s, duration_text
from fanout.config.selection import Selection, parse_selection
from fanout.config.when import When, parse_when, resolve
from fanout.errors import ConfigError, RefusedError

NOW_MS = 1_700_000_000_000


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("earliest", When("earliest")),
        ("latest", When("latest")),
        ("committed", When("committed")),
        ("@0", When("offset", 0)),
        ("@123", When("offset", 123)),
        ("1700000000", When("time", NOW_MS)),
        ("1700000000000", When("time", NOW_MS)),
        ("-PT1H", When("time", NOW_MS - 3_600_000)),
        ("-30m", When("time", NOW_MS - 1_800_000)),
        ("2023-11-14T22:13:20", When("time", NOW_MS)),
        ("2023-11-14T22:13:20Z", When("time", NOW_MS)),
        ("2023-11-14T23:13:20+01:00", When("time", NOW_MS)),
        ("2023-11-14", When("time", 1_699_920_000_000)),
    ],
)
def test_a_place_is_read_in_each_of_its_forms(text: str, when: When) -> None:
    assert parse_when(text, "--from", NOW_MS) == when


@pytest.mark.parametrize("text", ["", "yesterday", "@", "@-1", "-", "-PT", "1h", "2023-13-01"])
def test_what_is_no_place_is_refused_under_its_flag(text: str) -> None:
    with pytest.raises(ConfigError, match="--from"):
        parse_when(text, "--from", NOW_MS)


def test_a_time_is_printed_in_utc_and_local() -> None:
    assert str(When("time", NOW_MS)).startswith("2023-11-14T22:13:20.000+00:00 (20")


class Ends:
    """A topic whose partition 0 holds offsets 5 to 10 and whose partition 1 is empty at 7."""

    def offsets(self, topic: str, at: str | int) -> dict[int, int]:
        assert topic == "orders"
        return {"earliest": {0: 5, 1: 7}, "latest": {0: 10, 1: 7}}.get(str(at), {0: 8, 1: 7})


def test_a_place_is_resolved_for_every_partition() -> None:
    assert resolve(When("earliest"), "orders", Ends()) == {0: 5, 1: 7}
    assert resolve(When("time", 1), "orders", Ends()) == {0: 8, 1: 7}
    assert resolve(When("offset", 7), "orders", Ends()) == {0: 7, 1: 7}


def test_an_offset_that_is_gone_is_refused_rather_than_moved() -> None:
    with pytest.raises(RefusedError, match="orders/0 holds offsets 5 to 10, not 4"):
        resolve(When("offset", 4), "orders", Ends())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5s", 5), ("500ms", 0.5), ("1h30m", 5400), ("PT1H", 3600), ("P7D", 604_800), ("P1DT2H", 93_600), ("2.5s", 2.5)],
)
def test_a_length_of_time_is_read_in_both_dialects(text: str, seconds: float) -> None:
    assert duration_s(text, "--timeout") == pytest.approx(seconds)


def test_a_bare_number_is_no_length_of_time() -> None:
    with pytest.raises(ConfigError, match='did you mean "5s"'):
        duration_s("5", "--cutover")
    with pytest.raises(ConfigError, match="--cutover"):
        duration_s("P", "--cutover")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0.0s"), (3.21, "3.2s"), (45, "45s"), (750, "12m 30s"), (3600, "1h"), (273_600, "3d 4h")]
)
def test_a_length_of_time_is_shown_in_two_units_at_most(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("text", "selection"),
    [
        ("orders", Selection("orders")),
        ("orders:0", Selection("orders", (0,))),
        ("orders:0,3-5", Selection("orders", (0, 3, 4, 5))),
        ("a.b_c-d:2,2,1", Selection("a.b_c-d", (1, 2))),
    ],
)
def test_a_selection_is_read(text: str, selection: Selection) -> None:
    assert parse_selection(text, "-t") == selection


@pytest.mark.parametrize("text", ["", ":0", "a b", "orders:", "orders:x", "orders:3-1", "orders:-1", "..", "a" * 250])
def test_what_is_no_selection_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="-t"):
        parse_selection(text, "-t")


@given(st.sets(st.integers(0, 30), min_size=1))
def test_every_selected_partition_is_there_or_refused(chosen: set[int]) -> None:
    selection = parse_selection("t:" + ",".join(map(str, chosen)), "-t")
    if max(chosen) < 20:
        assert set(selection.of(20, "-t")) == chosen
    else:
        with pytest.raises(ConfigError, match="partitions 0 to 19"):
            selection.of(20, "-t")
