"""
Builds the peers that are compiled. One that cannot be built here is left out of the tables, with the reason said.

librdkafka comes as the sources that the crate `rdkafka-sys` carries, pinned by a lock and fetched by cargo's
ordinary client; franz-go as a Go module, pinned by `go.sum`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

__all__ = ["MissingError", "franz_go", "instructions", "librdkafka", "null"]

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUILT = ROOT / "build" / "peers"
JOBS = f"-j{os.cpu_count() or 1}"

LIBRDKAFKA_OPTIONS = ("--disable-ssl", "--disable-sasl", "--disable-curl", "--disable-gssapi", "--disable-zstd")
"""What no cell of ours uses, and would need further headers."""


class MissingError(Exception):
    """Why a mover cannot take part on this machine."""


def null() -> Path:
    """The forwarder that does nothing."""
    return _native("null")


def instructions() -> Path:
    """The program whose steps callgrind counts."""
    return _native("instructions")


def _native(program: str) -> Path:
    """One of our own, beside the extension's build: what it is made of is compiled already."""
    target = ROOT / "target" / "maturin"
    _run(["cargo", "build", "-q", "--release", "--locked", "--package", "fanout-bench", "--target-dir", str(target)])
    return target / "release" / program


def librdkafka() -> Path:
    """The copy loop in C, linked to a librdkafka built with its own defaults (-O2)."""
    _need("cc", "make", "cargo")
    manifest = str(HERE / "librdkafka" / "Cargo.toml")
    told = _run(["cargo", "metadata", "--format-version", "1", "--locked", "--manifest-path", manifest])
    package = next(one for one in json.loads(told)["packages"] if one["name"] == "rdkafka-sys")
    folder = BUILT / f"rdkafka-sys-{package['version']}"
    library = folder / "src" / "librdkafka.a"
    if not library.exists():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(Path(package["manifest_path"]).parent / "librdkafka", folder)
        _run(["./configure", *LIBRDKAFKA_OPTIONS], folder)
        _run(["make", "-s", JOBS, "-C", "src", "librdkafka.a"], folder)
    return _compile(folder, library)


def _compile(folder: Path, library: Path) -> Path:
    # rdkafka.h is included as an installed one is: by <librdkafka/rdkafka.h>.
    include = folder / "include"
    include.mkdir(exist_ok=True)
    link = include / "librdkafka"
    if not link.exists():
        link.symlink_to(folder / "src")
    program = BUILT / "librdkafka"
    source = str(HERE / "librdkafka" / "copy.c")
    libraries = ["-lm", "-lpthread", "-ldl", "-lrt", *(["-lz"] if _uses_zlib(folder) else [])]
    _run(["cc", "-O2", "-Wall", "-Wextra", "-I", str(include), "-o", str(program), source, str(library), *libraries])
    return program


def _uses_zlib(folder: Path) -> bool:
    return "#define WITH_ZLIB 1" in (folder / "config.h").read_text(encoding="utf-8")


def franz_go() -> Path:
    """The copy loop in Go."""
    _need("go")
    program = BUILT / "franz-go"
    _run(["go", "build", "-o", str(program), "."], HERE / "franz-go")
    return program


def _need(*tools: str) -> None:
    missing = [tool for tool in tools if shutil.which(tool, path=_path()) is None]
    if missing:
        raise MissingError(f"{', '.join(missing)} not found")


def _path() -> str:
    """With the place where Go's own archive installs: a login shell may not have seen it."""
    return f"{os.environ['PATH']}:/usr/local/go/bin"


def _run(command: list[str], folder: Path = ROOT) -> str:
    BUILT.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": _path()}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise MissingError(f"{' '.join(command[:3])} failed: {done.stderr.strip()[-400:]}")
    return done.stdout
