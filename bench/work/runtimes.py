"""Who handles: fanout, and everything it is measured beside."""

from __future__ import annotations

import sys
from dataclasses import dataclass

__all__ = ["FANOUT", "Runtime"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Runtime:
    """One way to handle records: a module that is run, and reads its order from the environment."""

    name: str
    module: str

    def command(self) -> list[str]:
        """What starts it."""
        return [sys.executable, "-m", self.module]


FANOUT = Runtime(name="fanout", module="work.engine")
