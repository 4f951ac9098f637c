"""
Question: how many instructions does each step of a record's way take?
Budget:   at most 3 % more than the stored baseline.

`make instructions` counts with callgrind and compares; `make instructions STORE=1` stores what was counted.

Counts are exact for one compiler and one set of processor features, so a baseline is stored for each and compared
with no other. valgrind shows a program a processor of its own (without AVX-512), so machines differ less than they
seem to.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from peers import build

__all__ = ["BASELINE", "PARTS", "changes", "count", "environment", "stored"]

BASELINE = Path(__file__).parent / "native" / "instructions.json"
PARTS = ("patch", "walk", "splice", "splice with header", "xxh3", "murmur2", "crc")
"""patch: of one batch; crc: of a byte, thousandfold; the others: of a record of 100 bytes, walked first."""
TOLERANCE = 0.03
FEATURES = ("avx2", "pclmulqdq", "sse4_2")
"""What changes which code runs under valgrind."""
VALGRIND_MISSING = "valgrind was not found: install it (Debian, Ubuntu: apt install valgrind)"


def environment() -> str:
    """Compiler, counter and processor, as far as counts depend on them."""
    told = [_told(["rustc", "--version"]).split("(")[0].strip(), _told(["valgrind", "--version"]).strip()]
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("flags")[2].partition("\n")[0].split()
    return ", ".join([*told, f"libc {platform.libc_ver()[1]}", *[one for one in FEATURES if one in flags]])


def count() -> dict[str, float]:
    """Instructions of each part, a record (of `patch`: a batch)."""
    program = build.instructions()
    return {part: _count(program, part) for part in PARTS}


def stored() -> dict[str, dict[str, float]]:
    """The baselines, by environment."""
    found: dict[str, dict[str, float]] = json.loads(BASELINE.read_text(encoding="utf-8"))
    return found


def changes(counted: dict[str, float], baseline: dict[str, float]) -> list[str]:
    """What moved by more than is allowed, in words; a gain must be stored, or it could be lost again unseen."""
    found = []
    for part, now in counted.items():
        change = now / baseline[part] - 1
        if abs(change) > TOLERANCE:
            remedy = "make it as cheap as it was" if change > 0 else "lower the baseline: make instructions STORE=1"
            found.append(f"{part}: {now:.1f} instructions, {baseline[part]:.1f} are stored ({change:+.1%}): {remedy}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", action="store_true", help="make what is counted the baseline")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        print(VALGRIND_MISSING, file=sys.stderr)
        return 2
    here, counted, baselines = environment(), count(), stored()
    for part, instructions in counted.items():
        print(f"{part:20} {instructions:12.1f}")
    if options.store:
        text = json.dumps({**baselines, here: counted}, indent=1)
        BASELINE.write_text(text + "\n", encoding="utf-8")
        return 0
    if here not in baselines:
        print(f"no baseline for {here}: make instructions STORE=1", file=sys.stderr)
        return 2
    moved = changes(counted, baselines[here])
    print(*moved, sep="\n", file=sys.stderr)
    return 1 if moved else 0


def _count(program: Path, part: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind.out"
        options = ["--tool=callgrind", "-q", "--toggle-collect=*measured*", f"--callgrind-out-file={out}"]
        told: dict[str, int] = json.loads(_told(["valgrind", *options, str(program), f"part={part}"]))
        summary = next(line for line in out.read_text(encoding="utf-8").splitlines() if line.startswith("summary:"))
    per = told["rounds"] if part == "patch" else told["rounds"] * told["records"]
    return round(int(summary.split()[1]) / per, 2)


def _told(command: list[str]) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
