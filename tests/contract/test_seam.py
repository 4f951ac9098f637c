"""The suite that the memory twin of fetch, produce and commit passes, on a real Kafka."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Kafka

ROOT = Path(__file__).resolve().parents[2]


def test_kafka_keeps_the_contract_its_twin_keeps(kafka: Kafka) -> None:
    cargo = shutil.which("cargo")
    assert cargo is not None, "the suite is written in Rust"
    command = [cargo, "test", "--locked", "-p", "fanout-core", "--test", "seam_contract", "--", "--ignored"]

    run = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "FANOUT_CONTRACT_BOOTSTRAP": kafka.bootstrap},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    passed = re.search(r"(\d+) passed; 0 failed; 0 ignored", run.stdout)
    assert passed, run.stdout
    assert int(passed[1]) >= 8, "a suite that did not run proves nothing"
