"""One faulty cluster for all tests here: each sets rules of its own, and finds none that another left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from conftest import Topics, _watched
from fanout.demo.cluster import Cluster

from .forked import build_extension
from .world import Faulty

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def proxied() -> Iterator[Faulty]:
    """A node behind a proxy, started once."""
    cluster = Cluster()
    with Faulty(cluster) as faulty, _watched(cluster):
        yield faulty


@pytest.fixture
def faulty(proxied: Faulty) -> Iterator[Faulty]:
    """The same without any rule, before and after the test."""
    proxied.rules.set()
    proxied.late.codes.clear()
    yield proxied
    proxied.rules.set()


@pytest.fixture
def topics(proxied: Faulty) -> Iterator[Topics]:
    """Topics on the faulty cluster, made without faults."""
    made = Topics(proxied.direct)
    yield made
    made.delete_all()


@pytest.fixture(scope="session")
def extension() -> Path:
    """The compiled core with crash points."""
    return build_extension()
