"""Faulty clusters for all tests here, started once each: every test sets rules of its own and finds none of another."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from conftest import _watched
from fanout.demo.cluster import Cluster

from .forked import build_extension
from .world import Faulty

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def proxied() -> Iterator[Callable[[int], Faulty]]:
    """A node behind a proxy, by its transaction version."""
    started: dict[int, Faulty] = {}
    with ExitStack() as stack:

        def node(version: int) -> Faulty:
            if version not in started:
                cluster = Cluster(features={"transaction.version": version})
                started[version] = stack.enter_context(Faulty(cluster))
                stack.enter_context(_watched(cluster))
            return started[version]

        yield node


@pytest.fixture
def faulty(request: pytest.FixtureRequest, proxied: Callable[[int], Faulty]) -> Iterator[Faulty]:
    """Such a node without any rule, before and after the test; transaction version 2 unless the test chooses."""
    chosen = proxied(getattr(request, "param", 2))
    chosen.rules.set()
    chosen.late.close()
    chosen.late.codes.clear()
    yield chosen
    chosen.rules.set()


@pytest.fixture(scope="session")
def extension() -> Path:
    """The compiled core with crash points."""
    return build_extension()
