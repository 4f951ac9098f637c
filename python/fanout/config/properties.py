"""
Kafka client properties: read, checked under the name the user wrote, never shown with their secrets.

A property that the client would not understand is an error here. The alternative is
a client that runs with a setting its owner believes in and nobody applies.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from fanout.errors import ConfigError

from .librdkafka import ALIASES, CODE, JAVA, KNOWN, OWN, SECRET_WORDS

__all__ = [
    "HIDDEN",
    "Properties",
    "check_names",
    "did_you_mean",
    "flatten",
    "is_secret",
    "read_properties",
    "read_secret",
    "redacted",
]

HIDDEN = "[hidden]"

FILE_SUFFIX = "_file"
"""`sasl.password_file = "/run/secrets/kafka"`: the value is the content of that file."""

_QUIET = ("token.endpoint.url", "metadata.authentication.type", "grant.type", "oauthbearer.method")


class Properties(Mapping[str, str]):
    """Client properties under librdkafka's names. Printing them hides the secret ones."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, str]) -> None:
        self._items = dict(items)

    def __getitem__(self, name: str) -> str:
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return f"Properties({redacted(self._items)})"

    def over(self, base: Mapping[str, str]) -> Properties:
        """These properties where they are set, `base` elsewhere."""
        return Properties({**base, **self._items})


def is_secret(name: str) -> bool:
    """Whether the value of property `name` must not be shown."""
    return any(word in name for word in SECRET_WORDS) and not name.endswith(_QUIET)


def redacted(properties: Mapping[str, str]) -> dict[str, str]:
    """A copy to show to people."""
    return {name: HIDDEN if is_secret(name) else value for name, value in properties.items()}


def check_names(properties: Mapping[str, str], place: str, allowed: frozenset[str] = frozenset()) -> dict[str, str]:
    """The properties under one name each, `_file` values read; or a ConfigError naming the first wrong one.

    `place` is where they were written (`-X`, a file's name); `allowed` names properties that may run code.
    """
    checked = {}
    for written, value in properties.items():
        name, setting = written.removesuffix(FILE_SUFFIX), f"{place}: {written}"
        if name in CODE and name not in allowed:
            remedy = f'if that is wanted, set allow_properties = ["{name}"] in fanout.toml'
            raise ConfigError(setting, f"{CODE[name]}; {remedy}")
        if name in JAVA:
            raise ConfigError(setting, f"is Java's name; here it is {JAVA[name]}")
        if name not in KNOWN | OWN:
            raise ConfigError(setting, f"no such client property{did_you_mean(name, KNOWN | OWN)}")
        checked[ALIASES.get(name, name)] = value if name == written else read_secret(Path(value), setting)
    return checked


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean "…"?`, or nothing when no known word is near."""
    near = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""


def flatten(table: Mapping[str, object], place: str, prefix: str = "") -> dict[str, str]:
    """Nested TOML tables as dotted names, and their values as the text librdkafka takes."""
    flat: dict[str, str] = {}
    for name, value in table.items():
        dotted = f"{prefix}{name}"
        if isinstance(value, Mapping):
            flat |= flatten(value, place, f"{dotted}.")
        elif isinstance(value, bool):
            flat[dotted] = "true" if value else "false"
        elif isinstance(value, str | int | float):
            flat[dotted] = str(value)
        elif isinstance(value, list) and all(isinstance(item, str | int) for item in value):
            flat[dotted] = ",".join(map(str, value))
        else:
            raise ConfigError(f"{place}: {dotted}", f"a client property is text or a number, not {value!r}")
    return flat


def read_properties(path: Path) -> dict[str, str]:
    """A Java `.properties` file: `name = value`, `name: value`, `#` and `!` comments, `\\` at a line's end joins."""
    properties: dict[str, str] = {}
    pending = ""
    for number, line in enumerate(_text(path, "-F").splitlines(), start=1):
        joined = pending + line.strip()
        pending = ""
        if not joined or joined[0] in "#!":
            continue
        if joined.endswith("\\"):
            pending = joined[:-1]
            continue
        cut = min((at for at in (joined.find("="), joined.find(":")) if at >= 0), default=-1)
        if cut <= 0:
            raise ConfigError(f"{path}:{number}", "a line is `name=value`")
        properties[joined[:cut].strip()] = joined[cut + 1 :].strip()
    return properties


def read_secret(path: Path, place: str) -> str:
    """The content of a file without the line's end; `place` is where the file was named."""
    return _text(path.expanduser(), place).rstrip("\r\n")


def _text(path: Path, place: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(place, f"cannot read {path}: {error}") from error
