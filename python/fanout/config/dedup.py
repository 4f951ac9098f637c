"""Where repeats are remembered, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from fanout.errors import ConfigError

__all__ = ["SHORTEST_WINDOW_S", "USUAL_WINDOW_S", "DedupSettings", "OnStoreDown"]

OnStoreDown = Literal["pause", "process", "fail"]

DAY_S = 86_400.0
SHORTEST_WINDOW_S = 60.0
USUAL_WINDOW_S = 7 * DAY_S


@dataclass(frozen=True, kw_only=True, slots=True)
class DedupSettings:
    """`[dedup]`, checked.

    url: the store. It may hold a password, so it is never shown.
    window_s: how long a record that is done is remembered.
    on_store_down: wait for the store; go on without it, so that repeats run; or stop.
    namespace: what is done under one counts for no other; None is the app's name. A new one runs everything again.
    """

    url: str = field(repr=False)
    window_s: float = USUAL_WINDOW_S
    on_store_down: OnStoreDown = "pause"
    namespace: str | None = None

    def __post_init__(self) -> None:
        if self.window_s < SHORTEST_WINDOW_S:
            raise ConfigError("dedup.window", f"at least {SHORTEST_WINDOW_S:g} s: claims end with it, too")
