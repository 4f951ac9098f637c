"""`python -m fanout` is the command `fanout`."""

from __future__ import annotations

from fanout.cli import main

if __name__ == "__main__":
    main()
