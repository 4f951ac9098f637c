"""Connections that can be trusted, on a real Kafka with TLS, logins and ACLs; and what each refusal says."""

from __future__ import annotations

import re
import signal
import socketserver
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certificates import Authority
from commands import Running, fanout
from conftest import Topics, _watched, unique_name
from fanout._fanout import Cluster
from fanout.errors import SecurityError
from oracle import Expectation, Recipe
from oracle.generate import Chunk, Generator
from oracle.prove import Carried, prove
from oracle.state import committed_offsets
from secure import SecureCluster

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FAILED = 1
PASSWORD = f"CANARY-{uuid.uuid4()}"
KEY_PASSWORD = f"CANARY-{uuid.uuid4()}"
WRONG_PASSWORD = f"CANARY-{uuid.uuid4()}"
RIGHT = re.compile(r"kafka-acls --bootstrap-server .*?--operation \w+ --[\w-]+ [\w.-]+")
MOST_RIGHTS = 20
RIGHTS = (
    "Read --topic {source}",
    "Write --topic {target}",
    "Read --group {group}",
    "Write --transactional-id {id}",
)
"""All that a forward cannot do without: whoever may read or write may look, too."""
SOON_S = 20
"""A refusal that is final must not be waited for: the control calls of these tests may try for longer."""
ENDS_S = 60


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureCluster]:
    """One node for all tests here: none of them changes who is let in, and each has topics and rights of its own."""
    with _watched(SecureCluster(tmp_path_factory.mktemp("secure"), PASSWORD)) as cluster:
        assert isinstance(cluster, SecureCluster)
        cluster.let_in()
        yield cluster


@dataclass(frozen=True, kw_only=True)
class Road:
    """A source with known records, a target, and a group; made and looked at by the listener that asks nothing."""

    bootstrap: str
    generator: Generator
    target: str
    group: str

    def arguments(self, *more: str) -> tuple[str, ...]:
        named = ("-t", self.generator.topic, "-g", self.group, "--to-topic", self.target)
        return ("-o", "json", "forward", *named, "--from", "earliest", *more)

    def prove(self) -> None:
        """Everything arrived once, in order, unchanged."""
        expectation = Expectation(
            recipe=self.generator.recipe, ledger=self.generator.ledger, source=self.generator.topic
        )
        carried = Carried(bootstrap=self.bootstrap, source=self.generator.topic, target=self.target, group=self.group)
        prove(carried, expectation)


@pytest.fixture
def road(secure: SecureCluster) -> Iterator[Road]:
    topics = Topics(secure.bootstrap)
    # The records' own times are long past.
    source, target = topics("source", 1, {"retention.ms": "-1"}), topics("target", 3, {"retention.ms": "-1"})
    generator = Generator(secure.bootstrap, source, Recipe(keys=50, varied=True))
    generator.write(Chunk(records=2_000))
    yield Road(bootstrap=secure.bootstrap, generator=generator, target=target, group=unique_name("carry"))
    topics.delete_all()


def write(path: Path, properties: Mapping[str, str]) -> str:
    """A client's `.properties` file."""
    path.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    return str(path)


def test_following_the_words_of_each_refusal_leads_to_a_forward_that_is_proven(
    secure: SecureCluster, road: Road, tmp_path: Path
) -> None:
    file = write(tmp_path / "client.properties", secure.properties_of("secure"))
    granted: list[str] = []
    for _ in range(MOST_RIGHTS):
        ran = fanout(secure.at("secure"), "-F", file, *road.arguments("--until", "end"))
        if ran.code == 0:
            break
        ran.require(FAILED)
        wanted = RIGHT.search(ran.out + ran.err)
        assert wanted, ran.out + ran.err
        secure.allow(wanted[0])
        granted.append(wanted[0].split("--operation ")[1])
    print(f"rights_asked_for={len(granted)}: {'; '.join(granted)}")
    assert f"Write --topic {road.target}" in granted
    assert any(right.startswith("Write --transactional-id fanout.") for right in granted)
    road.prove()


@pytest.mark.parametrize("lost", ["Read --group {group}", "Write --topic {target}", "Write --transactional-id {id}"])
def test_a_right_that_is_taken_away_ends_the_lane_with_the_line_that_gives_it_back(
    secure: SecureCluster, road: Road, tmp_path: Path, lost: str
) -> None:
    names = {"source": road.generator.topic, "target": road.target, "group": road.group}
    names["id"] = f"fanout.{road.group}.{road.generator.topic}.0"
    for right in RIGHTS:
        secure.grant(right.format(**names))
    lost = lost.format(**names)
    file = write(tmp_path / "client.properties", secure.properties_of("secure"))

    with Running(secure.at("secure"), "-F", file, *road.arguments()) as running:
        _wait_carried(road, running)
        secure.revoke(lost)
        deadline = time.monotonic() + ENDS_S
        while running.runs:
            assert time.monotonic() < deadline, running.said()
            road.generator.write(Chunk(records=100))
        ended = running.wait().require(FAILED)

    wanted = RIGHT.search(ended.document["lanes"][0]["error"])
    assert wanted, ended.out
    assert wanted[0].endswith(f"--operation {lost}")
    secure.allow(wanted[0])
    fanout(secure.at("secure"), "-F", file, *road.arguments("--until", "end")).require()
    road.prove()


def test_a_client_certificate_with_an_encrypted_key_is_let_in(
    secure: SecureCluster, road: Road, tmp_path: Path
) -> None:
    certificate, key = secure.authority.issue("operator").write(tmp_path, "operator", KEY_PASSWORD)
    properties = secure.properties_of("mutual", ssl__certificate__location=certificate, ssl__key__location=key)
    properties["ssl.key.password"] = KEY_PASSWORD
    file = write(tmp_path / "client.properties", properties)
    fanout(secure.at("mutual"), "-F", file, *road.arguments("--until", "end")).require()
    road.prove()


TOKENS = """
import base64, json, time

def kafka(config):
    now = int(time.time())   # a broker whose clock is a microsecond behind refuses what is issued later
    claims = {"sub": "operator", "iat": now, "exp": now + 60}
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "none"}, claims))
    return b".".join(parts).decode() + ".", now + 60
"""


def test_a_session_is_renewed_under_a_forward_and_nothing_of_it_shows(
    secure: SecureCluster, road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tokens.py").write_text(TOKENS)
    properties = secure.properties_of("secure", sasl__mechanisms="OAUTHBEARER", sasl__username="", sasl__password="")
    table = "\n".join(f'"{name}" = "{value}"' for name, value in (properties | {"oauth_cb": "tokens:kafka"}).items())
    (tmp_path / "fanout.toml").write_text(f'allow_properties = ["oauth_cb"]\n[kafka]\n{table}\n')
    with Running(secure.at("secure"), "-v", *road.arguments()) as running:
        deadline = time.monotonic() + ENDS_S
        while running.said().count("logged in again") < 2:
            assert running.runs, running.wait()
            assert time.monotonic() < deadline, running.said()
            road.generator.write(Chunk(records=200))
            time.sleep(0.1)
        _wait_carried(road, running)
        running.signal(signal.SIGTERM)
        ran = running.wait().require()
    renewed = ran.err.count("logged in again")
    print(f"sessions_renewed={renewed}")
    assert renewed >= 2
    assert ran.document["lanes"][0]["renewals"] == 0
    road.prove()


def _wait_carried(road: Road, running: Running) -> None:
    wanted = len(road.generator.ledger)
    deadline = time.monotonic() + ENDS_S
    while committed_offsets(road.bootstrap, road.group, road.generator.topic).get(0, 0) < wanted:
        assert running.runs, running.wait()
        assert time.monotonic() < deadline, running.said()
        time.sleep(0.1)


class _Page(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        """What web servers say to bytes that are no request."""
        self.request.recv(4096)
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


@contextmanager
def http_port() -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def refused(properties: Mapping[str, str]) -> str:
    """What a control call says, at once, to somebody it does not trust."""
    began = time.monotonic()
    with pytest.raises(SecurityError) as raised:
        Cluster(properties, timeout_s=60).api_versions()
    assert time.monotonic() - began < SOON_S
    assert raised.value.exit_code == FAILED
    assert properties["bootstrap.servers"] in str(raised.value)
    print(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("listener", "words"),
    [
        ("expired", "its certificate expired 3 days ago: renew the broker's certificate"),
        ("selfsigned", "its certificate is self-signed, and not trusted here"),
        ("elsewhere", "its certificate is for broker.example, 10.1.2.3, not for 127.0.0.1"),
        ("mutual", "client certificate"),
    ],
)
def test_a_broker_that_cannot_be_trusted_is_refused_for_its_own_reason(
    secure: SecureCluster, listener: str, words: str
) -> None:
    assert words in refused(secure.properties_of(listener))


def test_another_authority_is_not_believed_and_does_not_believe(secure: SecureCluster, tmp_path: Path) -> None:
    other = Authority("other", tmp_path)
    said = refused(secure.properties_of("secure", ssl__ca__location=str(other.bundle)))
    assert "signed by an authority that is not trusted here: set ssl.ca.location" in said
    certificate, key = other.issue("operator").write(tmp_path, "operator")
    own = {"ssl__certificate__location": certificate, "ssl__key__location": key}
    assert "does not accept the client certificate" in refused(secure.properties_of("mutual", **own))


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_wrong_password_is_told_at_once_and_never_shown(secure: SecureCluster, mechanism: str) -> None:
    right = secure.properties_of("secure", sasl__mechanisms=mechanism)
    assert Cluster(right).api_versions()
    said = refused(right | {"sasl.password": WRONG_PASSWORD})
    assert f"{mechanism} login as `mover` refused" in said
    assert "check sasl.username and sasl.password" in said
    assert "CANARY" not in said


def test_a_token_that_is_none_is_refused_with_the_broker_s_reason(secure: SecureCluster) -> None:
    properties = secure.properties_of("secure", sasl__mechanisms="OAUTHBEARER", sasl__username="", sasl__password="")
    said = refused(properties | {"oauth_cb": "secure:no_token"})
    assert "OAUTHBEARER token refused" in said
    assert "CANARY" not in said


def test_a_port_that_speaks_another_language_is_named_for_what_it_is(secure: SecureCluster) -> None:
    tls, plain = secure.at("secure"), secure.bootstrap
    assert "this listener speaks TLS" in refused({"bootstrap.servers": tls})
    assert "does not speak TLS" in refused({"bootstrap.servers": plain, "security.protocol": "ssl"})
    with http_port() as web:
        for protocol in ("plaintext", "ssl"):
            said = refused({"bootstrap.servers": web, "security.protocol": protocol})
            assert "this port speaks HTTP, not Kafka" in said


def test_a_login_that_is_missing_or_not_wanted_is_told_as_such(secure: SecureCluster) -> None:
    nameless = secure.properties_of("secure", sasl__mechanisms="", sasl__username="", sasl__password="")
    with pytest.raises(SecurityError, match="asks for a login"):
        Cluster(nameless | {"security.protocol": "ssl"}).partitions("any")
    named = secure.properties_of("secure", security__protocol="sasl_plaintext", ssl__ca__location="")
    assert "takes no login" in refused(named | {"bootstrap.servers": secure.bootstrap})


def test_a_check_that_is_switched_off_by_name_is_off(secure: SecureCluster) -> None:
    any_host = secure.properties_of("elsewhere", ssl__endpoint__identification__algorithm="none")
    assert Cluster(any_host).api_versions()
    expired = secure.properties_of("expired", ssl__endpoint__identification__algorithm="none")
    assert "expired" in refused(expired)
    anybody = secure.properties_of("selfsigned", enable__ssl__certificate__verification="false")
    assert Cluster(anybody).api_versions()


APP = ("effects:app", "--app-dir", str(Path(__file__).parent / "apps"))
VERBS = {
    "doctor": (),
    "drain": (*APP, "-t", "any", "-g", "any"),
    "forward": ("-t", "any", "-g", "any", "--to-topic", "other", "--until", "end"),
    "work": (*APP, "-g", "any"),
}


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_command_that_is_refused_ends_at_once_with_one_sentence(
    secure: SecureCluster, tmp_path: Path, verb: str
) -> None:
    file = write(tmp_path / "client.properties", secure.properties_of("secure", sasl__password=WRONG_PASSWORD))
    ran = fanout(secure.at("secure"), "-F", file, verb, *VERBS[verb], timeout_s=SOON_S).require(FAILED)
    assert "SCRAM-SHA-512 login as `mover` refused" in ran.err
    assert "Traceback" not in ran.err
    assert ran.out == ""


def test_no_secret_shows_where_everything_is_logged(secure: SecureCluster, road: Road, tmp_path: Path) -> None:
    certificate, key = secure.authority.issue("operator").write(tmp_path, "operator", KEY_PASSWORD)
    own = {"ssl__certificate__location": certificate, "ssl__key__location": key, "ssl__key__password": KEY_PASSWORD}
    file = write(tmp_path / "client.properties", secure.properties_of("secure", **own))
    loud = ("-v", "-X", "admin.debug=all", "-F", file)
    said = ""
    for wrong in ((), ("-X", f"sasl.password={WRONG_PASSWORD}")):
        ran = fanout(secure.at("secure"), *loud, *wrong, *road.arguments("--until", "end"))
        said += ran.out + ran.err
    assert "logged in broker=" in said, "the core said nothing"
    assert "sasl.password" in said, "librdkafka said nothing"
    hits = said.count("CANARY")
    print(f"logged_bytes={len(said)} canary_hits={hits}")
    assert hits == 0
