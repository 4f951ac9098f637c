"""The note beside a committed offset: both halves read it, and must take the same for one of ours."""

from __future__ import annotations

from dataclasses import replace

from fanout._fanout import Intake
from fanout.errors import WorkError
from fanout.kafka.tally import MOST_SKIPPED, Tally, TallyNote, parse_note
from unit.work.records import end_of_partition

SUM = "0123456789abcdef"
MOST = 2**63 - 1


def stretches(count: int) -> str:
    return ",".join(f"{2 * number}-{2 * number + 1}" for number in range(count))


OURS = [
    f"fanout1 0 {SUM} r",
    f"fanout1 7 {'0' * 16} !tag~",
    f"fanout1 {MOST} {'f' * 16} r",
    f"fanout1 {7:020} {SUM} r dead={7:020}:{SUM} skipped={7:020}-{8:020}",
    f"fanout1 1 {SUM} r dead=0:{'0' * 16}",
    f"fanout1 1 {SUM} r dead={MOST}:{SUM}",
    f"fanout1 1 {SUM} r skipped=0-1",
    f"fanout1 1 {SUM} r skipped={MOST - 1}-{MOST}",
    f"fanout1 1 {SUM} r skipped=9-10,1-3,2-4",
    f"fanout1 1 {SUM} r dead=2:{SUM} skipped={stretches(MOST_SKIPPED)}",
]

FOREIGN = [
    "",
    "fanout1",
    f"fanout2 1 {SUM} r",
    f" fanout1 1 {SUM} r",
    f"fanout1 1 {SUM} r ",
    f"fanout1 1 {SUM} r\n",
    f"fanout1  1 {SUM} r",
    f"fanout1\t1 {SUM} r",
    f"fanout1 1 {SUM}",
    f"fanout1 1 {SUM} r r",
    # Numbers: what Rust's parser or Python's takes besides.
    f"fanout1 +1 {SUM} r",
    f"fanout1 -1 {SUM} r",
    f"fanout1 1_0 {SUM} r",
    f"fanout1 ٣ {SUM} r",  # a digit to Python
    f"fanout1 {MOST + 1} {SUM} r",
    f"fanout1 {2**64 - 1} {SUM} r",
    f"fanout1 {7:021} {SUM} r",
    f"fanout1 {'9' * 5000} {SUM} r",
    # Sums.
    f"fanout1 1 {SUM.upper()} r",
    f"fanout1 1 +{SUM[1:]} r",
    f"fanout1 1 {SUM}0 r",
    f"fanout1 1 {SUM[1:]} r",
    # Tags.
    f"fanout1 1 {SUM} ",
    f"fanout1 1 {SUM} é",
    f"fanout1 1 {SUM} r\tr",
    f"fanout1 1 {SUM} \x1f",
    f"fanout1 1 {SUM} dead=1:{SUM}",
    f"fanout1 1 {SUM} dead=1",
    f"fanout1 1 {SUM} skipped=0-1",
    f"fanout1 1 {SUM} skipped=",
    # Dead letters.
    f"fanout1 1 {SUM} r dead=",
    f"fanout1 1 {SUM} r dead=1",
    f"fanout1 1 {SUM} r dead=+1:{SUM}",
    f"fanout1 1 {SUM} r dead={MOST + 1}:{SUM}",
    f"fanout1 1 {SUM} r dead=1:{SUM.upper()}",
    f"fanout1 1 {SUM} r dead=1:{SUM} dead=1:{SUM}",
    # What was left out.
    f"fanout1 1 {SUM} r skipped=",
    f"fanout1 1 {SUM} r skipped=7",
    f"fanout1 1 {SUM} r skipped=7-7",
    f"fanout1 1 {SUM} r skipped=8-7",
    f"fanout1 1 {SUM} r skipped=-1-7",
    f"fanout1 1 {SUM} r skipped=+1-7",
    f"fanout1 1 {SUM} r skipped=1-+7",
    f"fanout1 1 {SUM} r skipped=1-{MOST + 1}",
    f"fanout1 1 {SUM} r skipped=1-{7:021}",
    f"fanout1 1 {SUM} r skipped=1-٧",
    f"fanout1 1 {SUM} r skipped=1-7,",
    f"fanout1 1 {SUM} r skipped=,1-7",
    f"fanout1 1 {SUM} r skipped=1-7, 9-11",
    f"fanout1 1 {SUM} r skipped=1-7-9",
    f"fanout1 1 {SUM} r skipped=1-7 dead=1:{SUM}",
    f"fanout1 1 {SUM} r skipped={stretches(MOST_SKIPPED + 1)}",
]


def read_by_the_core(text: str) -> TallyNote | None:
    """What the core makes of `text`: a worker of the run of that tag is given a partition so committed, and goes on."""
    tag = [*text.split(" "), "", "", "", ""][3]
    intake = Intake("orders", "key", limits=(1, 1), run=(tag, {0: 0}))
    try:
        intake.assign(0, 5, text)
    except WorkError as error:
        if "was not written by fanout" not in error.problem:
            raise
        return None
    intake.take([end_of_partition(6)])
    [(partition, offset, metadata)] = intake.due()
    assert (partition, offset) == (0, 6)
    return parse_note(metadata)


def test_both_halves_read_a_note_of_ours_and_read_the_same() -> None:
    for text in OURS:
        note = parse_note(text)
        assert note is not None, text
        # A worker's own commits name nothing that was left out.
        assert read_by_the_core(text) == replace(note, skipped=()), text
        assert parse_note(note.text()) == note


def test_both_halves_refuse_what_another_tool_wrote() -> None:
    taken = {text: (parse_note(text), read_by_the_core(text)) for text in FOREIGN}
    assert {text: read for text, read in taken.items() if read != (None, None)} == {}


def test_the_values_are_those_of_the_text() -> None:
    text = f"fanout1 12 {SUM} r dead=3:{'0' * 15}a skipped=30-40,95-96"
    assert parse_note(text) == TallyNote(Tally(12, int(SUM, 16)), "r", Tally(3, 10), ((30, 40), (95, 96)))
