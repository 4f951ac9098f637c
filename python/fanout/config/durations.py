"""Lengths of time as people and ISO 8601 write them: `5s`, `500ms`, `1h30m`, `PT1H`, `P7D`."""

from __future__ import annotations

import re

from fanout.errors import ConfigError

__all__ = ["duration_s", "duration_text"]

UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}

_SHORT = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+")
_SHORT_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
_ISO = re.compile(
    r"P(?:(?P<w>\d+)W)?(?:(?P<d>\d+)D)?(?:T(?:(?P<h>\d+)H)?(?:(?P<m>\d+)M)?(?:(?P<s>\d+(?:\.\d+)?)S)?)?",
    re.IGNORECASE,
)


def duration_s(text: str, setting: str) -> float:
    """Seconds that `text` stands for; `setting` is the name the user wrote it under."""
    word = text.strip()
    if _SHORT.fullmatch(word.lower()):
        return sum(float(number) * UNITS_S[unit] for number, unit in _SHORT_PART.findall(word.lower()))
    iso = _ISO.fullmatch(word)
    if iso and any(iso.groups()):
        return sum(float(number) * UNITS_S[unit] for unit, number in iso.groupdict().items() if number)
    hint = f'did you mean "{word}s"?' if word.replace(".", "", 1).isdigit() else "write 5s, 500ms, 1h30m or PT1H30M"
    raise ConfigError(setting, f"{text!r} is no length of time: {hint}")


def duration_text(seconds: float) -> str:
    """`seconds` for people, in at most two units: `45s`, `12m 30s`, `3d 4h`."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    parts: list[str] = []
    left = round(seconds)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count}{unit}")
    return " ".join(part for part in parts[:2] if not part.startswith("0"))
