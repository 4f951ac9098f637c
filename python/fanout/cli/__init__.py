"""
The command `fanout`: one file a verb, and the frame they share.

Nothing heavy is imported before a verb runs: `fanout --help` must answer at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fanout.errors import FanoutError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command and exits with its code."""
    from .signals import at_once

    with at_once():
        from .output import last_word
        from .verbs import build, hoist

        try:
            build()(args=hoist(sys.argv[1:] if argv is None else argv), prog_name="fanout")
        except FanoutError as error:
            last_word(error)
            sys.exit(error.exit_code)
