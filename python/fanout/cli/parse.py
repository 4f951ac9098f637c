"""Words of the command line that several verbs take, checked under the flag they were written for."""

from __future__ import annotations

from collections.abc import Sequence

from fanout.errors import ConfigError

__all__ = ["one_of", "positive", "rate_per_s"]


def one_of(word: str, known: Sequence[str], setting: str) -> str:
    """`word` if it is known."""
    if word not in known:
        from fanout.config.properties import did_you_mean

        raise ConfigError(setting, f"{word!r} is none of {', '.join(known)}{did_you_mean(word, known)}")
    return word


def positive(word: str, setting: str) -> int:
    """A count of at least one."""
    if not word.isdigit() or int(word) < 1:
        raise ConfigError(setting, f"{word!r} is no count: write a number from 1 on")
    return int(word)


def rate_per_s(word: str, setting: str) -> float:
    """`200/s` as a number."""
    number = word.removesuffix("/s")
    try:
        rate = float(number)
    except ValueError:
        rate = 0.0
    if rate <= 0 or rate == float("inf"):
        raise ConfigError(setting, f"{word!r} is no rate: write 200/s")
    return rate
