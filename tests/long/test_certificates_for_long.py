"""Brokers that come back with a new certificate under a running forward: of the same authority, then of another."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from broker.test_security import FAILED, PASSWORD, Road, write
from certificates import Authority
from commands import Running, fanout
from conftest import Topics, _watched, unique_name
from oracle import Recipe
from oracle.generate import Chunk, Generator
from oracle.state import committed_offsets
from secure import SecureCluster

if TYPE_CHECKING:
    from pathlib import Path

LISTENER = "mutual"
PATIENCE_S = 90
KEPT = {"retention.ms": "-1"}


def test_a_renewed_certificate_is_taken_and_that_of_a_stranger_refused(tmp_path: Path) -> None:
    with _watched(SecureCluster(tmp_path, PASSWORD)) as secure:
        assert isinstance(secure, SecureCluster)
        topics = Topics(secure.bootstrap)
        generator = Generator(secure.bootstrap, topics("source", 1, KEPT), Recipe(keys=50))
        target, group = topics("target", 3, KEPT), unique_name("carry")
        road = Road(bootstrap=secure.bootstrap, generator=generator, target=target, group=group)
        certificate, key = secure.authority.issue("operator").write(tmp_path, "operator")
        own = {"ssl__certificate__location": certificate, "ssl__key__location": key}
        file = write(tmp_path / "client.properties", secure.properties_of(LISTENER, **own))
        generator.write(Chunk(records=1_000))

        with Running(secure.at(LISTENER), "-F", file, *road.arguments()) as running:
            _wait_carried(road, running)
            _come_back_with(secure, secure.authority)
            generator.write(Chunk(records=1_000))
            _wait_carried(road, running)
            stranger = Authority("stranger", tmp_path)
            _come_back_with(secure, stranger)
            generator.write(Chunk(records=1_000))
            ended = running.wait(PATIENCE_S).require(FAILED)

        error = ended.document["lanes"][0]["error"]
        print(f"renewed: carried={committed(road)} of {len(generator.ledger)}; stranger: {error}")
        assert committed(road) == 2_000
        assert "signed by an authority that is not trusted here: set ssl.ca.location" in error
        file = write(
            tmp_path / "client.properties",
            secure.properties_of(LISTENER, **own) | {"ssl.ca.location": str(stranger.bundle)},
        )
        fanout(secure.at(LISTENER), "-F", file, *road.arguments("--until", "end")).require()
        road.prove()


def _come_back_with(secure: SecureCluster, authority: Authority) -> None:
    """Stops the node and starts it with a new certificate in the place of the old one."""
    secure.node(1).stop()
    authority.issue("broker").keystore(secure.folder, LISTENER)
    secure.node(1).start()


def committed(road: Road) -> int:
    """The forward's place in its only source partition."""
    return committed_offsets(road.bootstrap, road.group, road.generator.topic).get(0, 0)


def _wait_carried(road: Road, running: Running) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while committed(road) < len(road.generator.ledger):
        assert running.runs, running.wait()
        assert time.monotonic() < deadline, running.said()
        time.sleep(0.1)
