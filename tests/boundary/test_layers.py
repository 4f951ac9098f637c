"""Which room may know of which: imports point one way, so that each room can be read without those above it."""

from __future__ import annotations

import ast
import re
import tomllib
from typing import TYPE_CHECKING

import pytest

from .source import CORE, PYTHON, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PYTHON_LAYERS = (
    ("errors", "_fanout"),
    ("config", "message", "outcome", "signature"),
    ("kafka", "app"),
    ("dedup",),
    ("work",),
    ("dlq", "drain", "replay", "lost", "audit", "testing"),
    ("serve", "demo"),
    ("cli",),
)
RUST_LAYERS = (
    ("record", "note", "clock", "error", "failpoint"),
    ("batch", "route", "wire"),
    ("cluster",),
    ("forward", "work"),
)


def python_imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and room of every import of our own in one module, those inside functions too."""
    package = path.parent.relative_to(PYTHON.parent).parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            modules = [base] if len(base) > 1 else [[*base, alias.name] for alias in node.names]
        else:
            continue
        yield from ((node.lineno, module[1]) for module in modules if module[0] == "fanout" and len(module) > 1)


def rust_imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and room of every `crate::…` in the code of one module: `crate::{a::X, b::Y}` names two."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        code = line.split("//", maxsplit=1)[0]
        for several, one in re.findall(r"\bcrate::(?:\{(.*)\}|([a-z_]+))", code):
            outermost = re.sub(r"\{[^{}]*\}", "", several)
            for room in [one] if one else re.findall(r"(?:^|,)\s*([a-z_]+)", outermost):
                yield number, room


def violations(
    rooms: Sequence[tuple[Path, str]], layers: Sequence[Sequence[str]], imports: dict[Path, list[tuple[int, str]]]
) -> list[str]:
    """Every import that does not point to a lower layer, to the room itself, or within the lowest layer."""
    level = {room: number for number, layer in enumerate(layers) for room in layer}
    return [
        f"{path.relative_to(ROOT)}:{line}: {room} may not know {imported}"
        for path, room in rooms
        for line, imported in imports[path]
        if imported != room and level[imported] >= max(level[room], 1)
    ]


def rooms_of(folder: Path, suffix: str, doors: frozenset[str]) -> list[tuple[Path, str]]:
    """Each source file with the room it lies in; `doors` are the package's own roots, which may name all."""
    paths = sorted(path for path in folder.rglob(f"*{suffix}") if str(path.relative_to(folder)) not in doors)
    return [(path, path.relative_to(folder).parts[0].removesuffix(suffix)) for path in paths]


def test_python_rooms_import_only_what_lies_below_them() -> None:
    rooms = rooms_of(PYTHON, ".py", frozenset({"__init__.py", "__main__.py"}))
    assert {room for _, room in rooms} >= {"cli", "config", "drain", "errors", "kafka", "work"}
    imports = {path: list(python_imports(path)) for path, _ in rooms}
    assert violations(rooms, PYTHON_LAYERS, imports) == []


def test_rust_rooms_use_only_what_lies_below_them() -> None:
    rooms = rooms_of(CORE / "src", ".rs", frozenset({"lib.rs"}))
    assert {room for _, room in rooms} >= {"batch", "cluster", "forward", "record", "wire"}
    imports = {path: list(rust_imports(path)) for path, _ in rooms}
    assert sum(map(len, imports.values())) > len(rooms) / 2, "the uses were not found"
    assert violations(rooms, RUST_LAYERS, imports) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from fanout.drain.plan import Plan", ["drain"]),
        ("from ..drain import plan", ["drain"]),
        ("from . import lag", ["kafka"]),
        ("from fanout import App, errors", ["App", "errors"]),
        ("def late():\n    import fanout.cli.main", ["cli"]),
        ("import json", []),
    ],
)
def test_every_way_to_import_is_seen(
    source: str, found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "fanout" / "kafka" / "groups.py"
    module.parent.mkdir(parents=True)
    module.write_text(source, encoding="utf-8")
    monkeypatch.setattr("boundary.test_layers.PYTHON", tmp_path / "fanout")
    assert [room for _, room in python_imports(module)] == found


def test_every_way_to_use_is_seen(tmp_path: Path) -> None:
    module = tmp_path / "lane.rs"
    module.write_text("use crate::{batch::{Header, crc}, work::Ledger};\ncrate::wire::dial(); // crate::cluster\n")
    assert list(rust_imports(module)) == [(1, "batch"), (1, "work"), (2, "wire")]


def test_an_import_upwards_is_a_violation() -> None:
    path = PYTHON / "config" / "settings.py"
    assert violations([(path, "config")], PYTHON_LAYERS, {path: [(7, "drain"), (8, "errors"), (9, "config")]}) == [
        "python/fanout/config/settings.py:7: config may not know drain"
    ]


def test_the_core_knows_nothing_of_python() -> None:
    packages = {
        package["name"]: [name.split(" ")[0] for name in package.get("dependencies", ())]
        for package in tomllib.loads((ROOT / "Cargo.lock").read_text(encoding="utf-8"))["package"]
    }
    reached, to_see = set[str](), ["fanout-core"]
    while to_see:
        reached.add(name := to_see.pop())
        to_see += [dependency for dependency in packages[name] if dependency not in reached]
    assert "kafka-protocol" in reached, "the walk found nothing"
    assert not {name for name in reached if name.startswith(("pyo3", "fanout-py"))}
    assert "pyo3" not in (CORE / "Cargo.toml").read_text(encoding="utf-8")
