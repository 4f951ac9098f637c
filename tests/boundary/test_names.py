"""What the package promises by name, and that its exceptions cross processes."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil
from types import ModuleType

import pytest

import fanout
from fanout import errors
from fanout.errors import FanoutError
from fanout.testing import TestApp

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(fanout.__path__, "fanout.")
    if not module.name.endswith((".__main__", ".keeper"))
)
"""Every module but the two that are programs."""

SAMPLE = {"str": "some text", "int": 7, "float": 0.5, "bool": True}
"""A value of each type that an exception takes."""


def own_names(module: ModuleType) -> set[str]:
    """What `module` offers without an underscore, its submodules apart."""
    shown = {name for name, value in vars(module).items() if not isinstance(value, ModuleType)}
    return {name for name in shown if not name.startswith("_") and name != "annotations"}


def test_the_package_exports_what_it_holds_and_nothing_else() -> None:
    # TestApp comes when it is asked for: commands must be quick.
    assert set(fanout.__all__) == own_names(fanout) | {"__version__", "TestApp"}
    assert fanout.TestApp is TestApp


def test_every_exception_is_exported() -> None:
    assert set(errors.__all__) == own_names(errors)


@pytest.mark.parametrize("name", ["fanout", *MODULES])
def test_every_exported_name_exists_once_and_is_public(name: str) -> None:
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", [])
    assert [one for one in exported if not hasattr(module, one)] == []
    assert len(set(exported)) == len(exported)
    assert [one for one in exported if one.startswith("_") and one != "__version__"] == []


def every_error(base: type[FanoutError] = FanoutError) -> list[type[FanoutError]]:
    """`base` and all that inherit from it, once every module is loaded."""
    return [base, *(error for child in base.__subclasses__() for error in every_error(child))]


for module in MODULES:
    importlib.import_module(module)


@pytest.mark.parametrize("kind", every_error())
def test_an_exception_survives_pickling(kind: type[FanoutError]) -> None:
    _, *parameters = inspect.signature(kind.__init__).parameters.values()
    named = [parameter for parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    raised = kind(*[SAMPLE.get(parameter.annotation, "any") for parameter in named] or ["any"])
    restored = pickle.loads(pickle.dumps(raised))  # noqa: S301 (our own bytes)
    assert type(restored) is kind
    assert vars(restored) == vars(raised)
    assert (restored.args, str(restored)) == (raised.args, str(raised))
    assert str(raised)
