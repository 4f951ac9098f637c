"""Running a forwarder in a process of its own that can be told where to die."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fanout.config.forward import ForwardSettings

__all__ = ["CRATE", "Forked", "build_extension", "forward_in_process"]

ROOT = Path(__file__).parents[2]
CRATE = ROOT / "rust" / "fanout-core" / "src"
DRIVER = Path(__file__).with_name("driver.py")
TARGET = ROOT / "target" / "cargo"


@dataclass(frozen=True, slots=True)
class Forked:
    """How the process ended. `ended` maps source partitions to outcomes; empty when it died."""

    code: int
    ended: Mapping[str, str]
    errors: tuple[str, ...]
    renewals: int
    said: str


def build_extension() -> Path:
    """The extension with crash points, built where cargo's other test builds lie; nothing is done when it is there."""
    features = "fanout-py/failpoints,pyo3/extension-module"
    command = ["cargo", "build", "-q", "--locked", "--package", "fanout-py", "--features", features]
    environment = {"PYO3_PYTHON": sys.executable} | os.environ | {"CARGO_TARGET_DIR": str(TARGET)}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    return TARGET / "debug" / "lib_fanout.so"


def forward_in_process(settings: ForwardSettings, extension: Path, failpoint: str, timeout_s: float = 120) -> Forked:
    """Runs to the end, or to the death that `failpoint` asks for."""
    done = subprocess.run(
        [sys.executable, str(DRIVER), str(extension)],
        input=repr(asdict(settings)),
        env=os.environ | {"FANOUT_FAILPOINT": failpoint},
        timeout=timeout_s,
        capture_output=True,
        text=True,
        check=False,
    )
    told: dict[str, Any] = json.loads(done.stdout) if done.stdout else {"ended": {}, "errors": [], "renewals": 0}
    return Forked(done.returncode, told["ended"], tuple(told["errors"]), told["renewals"], done.stderr)
