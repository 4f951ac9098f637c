"""Files that can be read in one sitting, and that bear no trace of the machine they were written on."""

from __future__ import annotations

import ast
import re
import tomllib
from typing import TYPE_CHECKING

from .source import PYTHON, ROOT, tracked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONGEST_FILE = 400
LONGEST_FUNCTION = 40
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|Users|work|private|var/folders)/")


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function with the number of its lines of code: its own documentation is not counted."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None and len(node.body) > 1 else node.body
            yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", (node.end_lineno or 0) - body[0].lineno + 1


def test_no_source_file_is_longer_than_its_limit() -> None:
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in tracked(".rs", ".py", ".pyi")}
    assert len(sizes) > 20
    assert {str(path.relative_to(ROOT)): size for path, size in sizes.items() if size > LONGEST_FILE} == {}


def test_no_python_function_is_longer_than_its_limit() -> None:
    sizes = dict(size for path in tracked(".py") for size in functions(path))
    assert len(sizes) > 50
    assert {name: size for name, size in sizes.items() if size > LONGEST_FUNCTION} == {}


def test_no_file_names_a_folder_of_one_machine() -> None:
    texts = ((path, path.read_bytes().decode("utf-8", "replace")) for path in tracked())
    found = [f"{path.relative_to(ROOT)}: {match[0]}" for path, text in texts if (match := MACHINE_PATH.search(text))]
    assert found == []


def test_the_locks_name_no_index() -> None:
    locks = sorted((ROOT / "requirements").glob("*.lock"))
    assert len(locks) == 2
    assert [lock.name for lock in locks if "://" in lock.read_text(encoding="utf-8")] == []


def test_the_lock_holds_every_requirement() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = (ROOT / "requirements" / "dev.in").read_text(encoding="utf-8").splitlines()
    asked = [*project["dependencies"], *(line for line in extra if line and not line.startswith("#"))]
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements" / "dev.lock").read_text(encoding="utf-8"), re.M))
    assert len(asked) > 10
    names = [re.split(r"[^\w.-]", requirement)[0].lower() for requirement in asked]
    assert [name for name in names if name not in locked] == [], "run `make lock`"


def test_what_the_package_needs_at_run_time_lies_inside_it() -> None:
    assert (PYTHON / "demo" / "pom.xml").is_file()
    assert (PYTHON / "py.typed").is_file()
