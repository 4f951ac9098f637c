"""Which letters went back: exact, through every commit, however they lie among those that stay."""

from __future__ import annotations

import random

import pytest

from fanout.dlq.ground import MARK, MOST_TEXT, Ground
from fanout.errors import WorkError

ID = "0b9e9c5e-1111-4222-8333-123456789abc"


def committed(ground: Ground) -> tuple[int, str]:
    return ground.point, ground.metadata()


def test_many_redrives_with_different_choices_put_each_letter_back_once() -> None:
    dice = random.Random(7)
    letters = sorted(dice.sample(range(100, 900), 300))  # holes: markers, compaction
    commit: tuple[int, str] | None = None
    back: set[int] = set()
    for _ in range(12):
        ground = Ground.read(ID, letters[0], commit)
        wanted = {letter for letter in letters if dice.random() < 0.15}
        for letter in letters:
            if letter < ground.point:
                assert letter in back
                continue
            assert ground.is_back(letter) == (letter in back), letter
            goes = letter in wanted and letter not in back
            ground.walk(letter, goes_back=goes)
            if goes:
                back.add(letter)
        commit = committed(ground)
    ground = Ground.read(ID, letters[0], commit)
    assert {letter for letter in letters if ground.is_back(letter)} == back
    assert len(back) > 200


def test_letters_side_by_side_are_one_run_whatever_lies_between_them() -> None:
    ground = Ground.read(ID, 0, None)
    ground.walk(3, goes_back=False)
    for offset in (5, 9, 40):
        ground.walk(offset, goes_back=True)
    assert committed(ground) == (0, f"{MARK} {ID} 5+36")


def test_the_point_moves_over_what_went_back_from_the_start() -> None:
    ground = Ground.read(ID, 10, (20, f"{MARK} {ID} 5+5"))
    ground.walk(21, goes_back=True)
    ground.walk(26, goes_back=False)
    assert committed(ground) == (30, f"{MARK} {ID} ")


def test_letters_that_expired_are_forgotten() -> None:
    ground = Ground.read(ID, 28, (20, f"{MARK} {ID} 1+2,2+5,10+1"))
    assert [ground.is_back(offset) for offset in (28, 29, 30, 40, 41)] == [True, True, False, True, False]
    assert ground.metadata() == f"{MARK} {ID} 0+2,10+1"


def test_a_topic_made_again_begins_anew() -> None:
    ground = Ground.read("another", 0, (20, f"{MARK} {ID} 1+2"))
    assert (ground.point, ground.metadata()) == (0, f"{MARK} another ")


@pytest.mark.parametrize("foreign", ["", "fanout1 0 0 r", f"{MARK} {ID} 1+", f"{MARK} {ID} 1+2,x", f"{MARK} {ID} -1+2"])
def test_offsets_of_another_tool_are_not_believed(foreign: str) -> None:
    with pytest.raises(WorkError, match="no redrive wrote"):
        Ground.read(ID, 0, (20, foreign))


def test_what_does_not_fit_a_commit_is_said_and_not_cut() -> None:
    ground = Ground.read(ID, 0, None)
    for offset in range(3_000):
        ground.walk(offset, goes_back=offset % 2 == 1)
    with pytest.raises(WorkError, match="1500 of one partition do not fit"):
        ground.metadata()
    fits = Ground.read(ID, 0, None)
    for offset in range(1_600):
        fits.walk(offset, goes_back=offset % 2 == 1)
    assert len(fits.metadata()) <= MOST_TEXT
