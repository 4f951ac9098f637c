"""What the README and examples/ show works: they are run, and the README shows nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def squeezed(text: str) -> str:
    """Without what only the linter reads, and without blank lines."""
    lines = (re.sub(r"\s+# (?:noqa|fmt).*", "", line).rstrip() for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def test_python_in_the_readme_is_what_the_examples_hold() -> None:
    shown = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    held = "\n".join(squeezed(path.read_text(encoding="utf-8")) for path in sorted(EXAMPLES.glob("*.py")))
    parts = [part for block in shown for part in block.split("\n\n\n")]
    assert len(parts) > 5
    assert [part for part in parts if squeezed(part) not in held] == []


def test_the_examples_pass_their_own_tests() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLES)],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    assert re.search(r"\b3 passed", ran.stdout)
