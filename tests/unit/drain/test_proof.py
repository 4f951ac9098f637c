"""The conservation proof."""

from __future__ import annotations

import pytest

from fanout.drain.proof import STRETCH, Witness, count_source, judge
from fanout.errors import ProofError
from fanout.kafka.tally import NOTHING, Tally, TallyNote, parse_note, zero_note

from .twins import MemoryCluster, mix, tally_of

THREE = tally_of([(0, 1), (0, 2), (0, 3)])
TWO = tally_of([(0, 1), (0, 2)])


def witness(**changes: Tally | None) -> Witness:
    said = {"lanes": THREE, "settled": THREE, "dead": NOTHING, "source": THREE, **changes}
    return Witness(partition=0, start=1, end=4, **said)  # type: ignore[arg-type]


def test_the_twin_s_mix_equals_the_published_vectors() -> None:
    assert [mix(0, 1), mix(2, 41), mix(7, 1_099_511_627_776)] == [
        0x5692161D100B05E5,
        0x992FFAC69A7ACD4C,
        0xAC937C7AABCE66BC,
    ]


def test_equal_witnesses_agree() -> None:
    judge("orders", [witness()])


def test_dead_letters_count_as_handled() -> None:
    judge("orders", [witness(settled=TWO, dead=tally_of([(0, 3)]))])


@pytest.mark.parametrize(
    "changes",
    [
        {"settled": TWO},
        {"settled": THREE + tally_of([(0, 3)])},
        {"settled": tally_of([(0, 1), (0, 2), (0, 2)])},
        {"source": TWO},
        {"lanes": TWO, "settled": TWO},
        {"dead": tally_of([(0, 3)])},
    ],
    ids=["lost by workers", "doubled by workers", "one lost, one doubled", "lane wrote more", "lane lost", "both"],
)
def test_a_witness_that_disagrees_is_named_with_its_numbers(changes: dict[str, Tally]) -> None:
    with pytest.raises(ProofError, match=r"orders/0 \[1, 4\): carried \d records, sum [0-9a-f]{16}") as refused:
        judge("orders", [witness(**changes)])
    assert refused.value.exit_code == 3


def test_a_source_that_cannot_tell_leaves_the_other_two() -> None:
    judge("orders", [witness(source=None)])
    with pytest.raises(ProofError):
        judge("orders", [witness(source=None, settled=TWO)])


def test_a_long_stretch_is_counted_in_parts_that_join() -> None:
    asked: list[tuple[int, int]] = []

    class Counting(MemoryCluster):
        def count(self, topic: str, partition: int, start: int, end: int) -> tuple[int, int]:
            asked.append((start, end))
            assert (topic, partition) == ("orders", 0)
            return end - start, 1

    end = 7 + 2 * STRETCH + 5
    assert count_source(Counting(), "orders", 0, 7, end) == Tally(end - 7, 3)
    assert asked == [(7, 7 + STRETCH), (7 + STRETCH, 7 + 2 * STRETCH), (7 + 2 * STRETCH, end)]


def test_a_note_survives_its_text() -> None:
    assert parse_note(zero_note("tag")) == TallyNote(NOTHING, "tag")
    text = "fanout1 12 00000000000000ff run dead=3:00000000000000aa"
    note = TallyNote(Tally(12, 255), "run", Tally(3, 170))
    assert (parse_note(text), note.text()) == (note, text)


def test_a_note_remembers_what_was_left_out_and_forgets_none_of_it() -> None:
    note = TallyNote(Tally(12, 255), "tag").leaving_out(30, 40).leaving_out(95, 96)
    assert note.text() == "fanout1 12 00000000000000ff tag skipped=30-40,95-96"
    assert parse_note(note.text()) == note
    assert note.leaving_out(40, 50).leaving_out(20, 31).skipped == ((20, 50), (95, 96))
    for number in range(100, 160, 2):
        note = note.leaving_out(number, number + 1)
        assert parse_note(note.text()) == note
        assert not note.is_too_long
    more = note.leaving_out(200, 201)
    assert more.skipped == (*note.skipped, (200, 201))
    assert more.is_too_long
    assert parse_note(more.text()) is None


def test_sums_wrap_as_64_bit_numbers_do() -> None:
    assert Tally(1, 2**64 - 1) + Tally(1, 2) == Tally(2, 1)
