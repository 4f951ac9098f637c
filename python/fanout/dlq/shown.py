"""Bytes of strangers as one line of text that a terminal can be shown."""

from __future__ import annotations

__all__ = ["shown", "shown_bytes"]


def shown(text: str) -> str:
    """Everything that is not printed as itself is escaped: escape codes, line breaks, marks that turn text round."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def shown_bytes(data: bytes | None, most: int) -> str:
    """The first `most` bytes, and how many there are if there are more; `null` for none at all."""
    if data is None:
        return "null"
    text = shown(data[:most].decode(errors="backslashreplace"))
    return text if len(data) <= most else f"{text}… ({len(data):,} bytes)"
