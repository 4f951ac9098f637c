"""Where the sources lie, for the tests that guard their shape."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / "python" / "fanout"
CORE = ROOT / "rust" / "fanout-core"


def tracked(*suffixes: str) -> list[Path]:
    """The files of the repository, those not yet added too, that end in one of `suffixes` (none: all)."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],  # noqa: S607 (whichever git is there)
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    paths = [ROOT / line for line in listed.stdout.splitlines()]
    return [path for path in paths if path.is_file() and (not suffixes or path.suffix in suffixes)]
