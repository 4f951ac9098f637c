"""A user's expression over strangers' text."""

from __future__ import annotations

import time

import pytest

from fanout._fanout import Pattern
from fanout.errors import ConfigError


def test_it_is_found_anywhere_and_bytes_need_not_be_text() -> None:
    pattern = Pattern(r"(?i)timeout|no such \w+", "--error")
    assert pattern.is_in(b"\xff\xfeERROR: TimeOut")
    assert pattern.is_in("no such zażółć".encode())
    assert not pattern.is_in(b"refused")


def test_no_text_makes_it_slow() -> None:
    began = time.monotonic()
    assert not Pattern(r"(a+)+$", "--error").is_in(b"a" * 100_000 + b"!")
    assert time.monotonic() - began < 20, "Python's own would need longer than the universe has"


@pytest.mark.parametrize("wrong", ["(", r"(a)\1", r"(\w{100}){100}"])
def test_what_cannot_be_bounded_is_refused_under_its_name(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"^--error: "):
        Pattern(wrong, "--error")
