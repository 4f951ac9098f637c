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


def cargo_test(kafka: Kafka, name: str) -> str:
    """Runs the tests of the suite that `name` selects, on `kafka`; what they said."""
    cargo = shutil.which("cargo")
    assert cargo is not None, "the suite is written in Rust"
    options = ["--test", "seam_contract", name, "--", "--ignored", "--nocapture"]
    run = subprocess.run(
        [cargo, "test", "--locked", "-p", "fanout-core", *options],
        cwd=ROOT,
        env={**os.environ, "FANOUT_CONTRACT_BOOTSTRAP": kafka.bootstrap},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


def passed(said: str) -> int:
    """How many passed. A suite that did not run proves nothing."""
    found = re.search(r"(\d+) passed; 0 failed; 0 ignored", said)
    assert found, said
    return int(found[1])


def test_kafka_keeps_the_contract_its_twin_keeps(kafka: Kafka) -> None:
    assert passed(cargo_test(kafka, "kafka::")) >= 9


def test_older_brokers_keep_it_too(older_kafka: Kafka) -> None:
    assert passed(cargo_test(older_kafka, "kafka::")) >= 9


def test_a_lane_outlives_the_coordinators_timeout(kafka: Kafka) -> None:
    assert passed(cargo_test(kafka, "outlives_the_coordinators_timeout")) == 1


def test_a_lane_outlives_the_coordinators_timeout_on_older_brokers(older_kafka: Kafka) -> None:
    assert passed(cargo_test(older_kafka, "outlives_the_coordinators_timeout")) == 1
