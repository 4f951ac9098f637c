"""The fixtures every broker test rests on, tried in a pytest of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from fanout.demo.cluster import TOOLS
from fanout.demo.jars import class_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from fanout.demo.cluster import Cluster

CONFTEST = Path(__file__).parents[1] / "conftest.py"


def inner_pytest(folder: Path, source: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs one test file with our fixtures, in `folder`."""
    shutil.copy(CONFTEST, folder)
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (folder / "test_inner.py").write_text(source, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(CONFTEST.parent), **environment},
        capture_output=True,
        text=True,
    )


def test_a_failed_test_leaves_its_brokers_logs_and_says_where(tmp_path: Path) -> None:
    done = inner_pytest(tmp_path, "def test_fails(own_cluster):\n    own_cluster()\n    assert False\n")
    (log,) = tmp_path.rglob("node-1.log")
    assert "Kafka Server started" in log.read_text(encoding="utf-8")
    assert str(log.parent) in done.stdout
    assert done.returncode == 1


def test_a_passed_test_leaves_nothing(tmp_path: Path) -> None:
    done = inner_pytest(tmp_path, "def test_passes(own_cluster):\n    own_cluster()\n")
    assert done.returncode == 0, done.stdout
    assert not (tmp_path / "kafka-logs").exists()


def test_an_existing_cluster_is_used_when_one_is_named(tmp_path: Path, own_cluster: Callable[..., Cluster]) -> None:
    bootstrap = own_cluster().bootstrap
    source = f"def test_it(kafka, topics):\n    assert kafka.bootstrap == {bootstrap!r}\n    topics('a', 2)\n"
    done = inner_pytest(tmp_path, source, FANOUT_TEST_BOOTSTRAP=bootstrap)
    assert done.returncode == 0, done.stdout


def test_every_tool_names_a_class_of_the_jars() -> None:
    held: set[str] = set()
    for jar in Path(class_path()).parent.glob("kafka*.jar"):
        with zipfile.ZipFile(jar) as opened:
            held.update(opened.namelist())
    assert [tool for tool, name in TOOLS.items() if f"{name.replace('.', '/')}.class" not in held] == []
