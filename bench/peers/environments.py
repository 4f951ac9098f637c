"""
Interpreters with the Python peers installed, apart from ours: what they need must not meet what the project needs.

Made at the first use from a lock beside their scripts, kept under `.cache/bench` until that lock changes.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from peers.build import MissingError

__all__ = ["python_of"]

LOCKS = Path(__file__).parent / "workers"
CACHE = Path(__file__).parents[2] / ".cache" / "bench"
PIP = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes"]
# pyrallel-consumer says 3.12 and runs on 3.11.
ANY_PYTHON = "--ignore-requires-python"

_failed: dict[str, str] = {}


def python_of(name: str) -> Path:
    """The interpreter that has what `<name>.lock` lists. Raises MissingError if it cannot be made here."""
    lock = LOCKS / f"{name}.lock"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    folder = CACHE / f"{name}-{digest}"
    if not folder.is_dir():
        if name not in _failed:
            _failed[name] = _make(folder, lock)
        if _failed[name]:
            raise MissingError(_failed[name])
    return folder / "bin" / "python"


def _make(folder: Path, lock: Path) -> str:
    """Returns why it could not be made, or nothing."""
    print(f"installing the peers of {lock.name} into {folder}", file=sys.stderr)
    python = str(folder / "bin" / "python")
    for command in ([sys.executable, "-m", "venv", str(folder)], [python, *PIP, ANY_PYTHON, "-r", str(lock)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            return f"{lock.name} cannot be installed: {done.stderr.strip()[-400:]}"
    return ""
