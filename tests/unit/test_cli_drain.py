"""`fanout drain`: what cannot work is refused before anything is dialled."""

from __future__ import annotations

import pytest

from .test_cli import run

DRAIN = ("drain", "shop:app", "-t", "orders", "-g", "billing")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*DRAIN, "--workers", "0"), "--workers: '0' is no count"),
        ((*DRAIN, "--partitions", "many"), "--partitions: 'many' is no count"),
        ((*DRAIN, "--route", "kye"), "--route: 'kye' is none of key, round-robin, batch; did you mean \"key\"?"),
        ((*DRAIN, "--cutover", "5"), "--cutover: '5' is no length of time: did you mean \"5s\"?"),
        ((*DRAIN, "--from", "yesterday"), "--from: 'yesterday' is no place in a topic"),
        ((*DRAIN, "--handler-rate", "fast"), "--handler-rate: 'fast' is no rate"),
    ],
)
def test_what_cannot_work_is_named_under_its_flag_with_code_2(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("-b", "127.0.0.1:1", *arguments) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""
