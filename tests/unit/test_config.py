"""Settings: who wins, what is refused, and that secrets are never shown."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException

from fanout.config.librdkafka import CODE, JAVA, KNOWN
from fanout.config.properties import Properties, check_names, flatten, read_properties, redacted
from fanout.config.settings import Flags, load_settings
from fanout.errors import ConfigError


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("FANOUT_BOOTSTRAP_SERVERS", "FANOUT_CONFIG", "FANOUT_CONTEXT"):
        monkeypatch.delenv(variable, raising=False)


def write(text: str, name: str = "fanout.toml") -> Path:
    path = Path(name)
    path.write_text(text)
    return path


def brokers(flags: Flags) -> str:
    _, clients = load_settings(flags)
    return clients.of("core", "test")["bootstrap.servers"]


def test_a_later_layer_wins_over_each_earlier_one(monkeypatch: pytest.MonkeyPatch) -> None:
    won = []
    write('[kafka]\n"bootstrap.servers" = "file:1"')
    won.append(brokers(Flags()))
    monkeypatch.setenv("FANOUT_BOOTSTRAP_SERVERS", "env:1")
    won.append(brokers(Flags()))
    command_config = write("bootstrap.servers=properties:1", "client.properties")
    won.append(brokers(Flags(command_config=command_config)))
    x = ("bootstrap.servers=x:1",)
    won.append(brokers(Flags(command_config=command_config, properties=x)))
    won.append(brokers(Flags(command_config=command_config, properties=x, bootstrap_servers="flag:1")))

    assert won == ["file:1", "env:1", "properties:1", "x:1", "flag:1"]


def test_a_context_wins_over_the_file_and_loses_to_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    write('[kafka]\nbootstrap.servers = "f:1"\n[contexts.prod.kafka]\nbootstrap.servers = "prod:1"')
    assert brokers(Flags(options={"context": "prod"})) == "prod:1"
    monkeypatch.setenv("FANOUT_KAFKA_BOOTSTRAP_SERVERS", "env:1")
    assert brokers(Flags(options={"context": "prod"})) == "env:1"


def test_an_unknown_context_names_those_there_are() -> None:
    write("[contexts.prod.kafka]\n[contexts.staging.kafka]\n")
    with pytest.raises(ConfigError, match=r"no \[contexts.prd\].*there: prod, staging"):
        load_settings(Flags(options={"context": "prd"}))


def test_two_names_of_one_property_are_one_property() -> None:
    write('[kafka]\n"bootstrap.servers" = "b:1"\nsasl.mechanisms = "PLAIN"')
    _, clients = load_settings(Flags(properties=("sasl.mechanism=SCRAM-SHA-512",)))
    assert clients.of("admin", "test")["sasl.mechanisms"] == "SCRAM-SHA-512"
    assert "sasl.mechanism" not in clients.of("admin", "test")


def test_overrides_reach_their_own_kind_of_client_only() -> None:
    write(
        '[kafka]\nbootstrap.servers = "b:1"\n[kafka.consumer]\nfetch.min.bytes = 7\n[kafka.admin]\n"client.id" = "me"'
    )
    _, clients = load_settings(Flags())
    assert clients.of("consumer", "work")["fetch.min.bytes"] == "7"
    assert "fetch.min.bytes" not in clients.of("core", "work")
    assert clients.of("admin", "doctor")["client.id"] == "me"
    assert clients.of("producer", "work")["client.id"].startswith("fanout-work-")


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[kafak]\n", 'fanout.toml: kafak: no such setting; did you mean "kafka"?'),
        ('log_levle = "info"\n', 'fanout.toml: log_levle: no such setting; did you mean "log_level"?'),
        ('log_level = "loud"\n', "log-level: Input should be"),
        ("[contexts.a.kafak]\n", 'contexts.a.kafak: no such setting; did you mean "kafka"?'),
        ('[kafka]\n"bootstrap.server" = "b:1"', 'bootstrap.server: no such client property; did you mean "bootstrap.s'),
        ('[kafka.consumer]\n"fetch.min.byte" = 1', 'fetch.min.byte: no such client property; did you mean "fetch.min'),
        ("kafka = [", "is not TOML"),
    ],
)
def test_what_the_file_misspells_is_named_with_a_suggestion(toml: str, said: str) -> None:
    write(toml)
    with pytest.raises(ConfigError) as refused:
        load_settings(Flags())
    assert said in str(refused.value)


def test_a_misspelt_variable_is_refused_and_a_neighbour_s_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANOUT_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("FANOUT_PORT", "tcp://10.0.0.1:80")
    load_settings(Flags())
    monkeypatch.setenv("FANOUT_BOOTSTRAP_SERVER", "b:1")
    with pytest.raises(ConfigError, match='did you mean "FANOUT_BOOTSTRAP_SERVERS"'):
        load_settings(Flags())


def test_no_broker_named_anywhere_is_said_with_both_ways_to_name_one() -> None:
    _, clients = load_settings(Flags())
    with pytest.raises(ConfigError, match="-b HOST:PORT, or FANOUT_BOOTSTRAP_SERVERS"):
        clients.of("core", "test")


@pytest.mark.parametrize("name", sorted(JAVA))
def test_a_java_only_name_is_refused_with_what_to_write(name: str) -> None:
    with pytest.raises(ConfigError, match="is Java's name; here it is"):
        check_names({name: "x"}, "-X")


@pytest.mark.parametrize("name", sorted(CODE))
def test_a_property_that_runs_code_needs_leave_from_the_file(name: str) -> None:
    with pytest.raises(ConfigError, match="allow_properties"):
        load_settings(Flags(properties=(f"{name}=/tmp/evil.so",)))
    write(f'allow_properties = ["{name}"]')
    load_settings(Flags(properties=(f"{name}=/tmp/wanted.so",)))


def test_leave_for_a_property_that_runs_code_is_not_taken_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FANOUT_ALLOW_PROPERTIES", '["plugin.library.paths"]')
    with pytest.raises(ConfigError, match="in the configuration file only"):
        load_settings(Flags(properties=("plugin.library.paths=/tmp/evil.so",)))


def test_every_name_on_the_list_is_known_to_the_installed_library() -> None:
    unknown = []
    for name in sorted(KNOWN):
        # The second name is surely wrong, so no client comes to be; the answer names the first one it does not know.
        with pytest.raises(KafkaException) as refused:
            Consumer({"group.id": "x", name: "x", "no.such.name": "x"})
        if f'No such configuration property: "{name}"' in str(refused.value):
            unknown.append(name)
    assert unknown == []


def test_a_properties_file_is_read_as_java_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "client.properties"
    path.write_text(
        "# a comment\n! another\n\nsecurity.protocol = SASL_SSL\nsasl.username: me\nssl.ca.location=/a\\\n  /b=c\n"
    )
    assert read_properties(path) == {
        "security.protocol": "SASL_SSL",
        "sasl.username": "me",
        "ssl.ca.location": "/a/b=c",
    }


def test_a_line_that_is_no_property_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "client.properties"
    path.write_text("a=b\nnonsense\n")
    with pytest.raises(ConfigError, match=r"client.properties:2"):
        read_properties(path)


def test_nested_tables_and_quoted_names_mean_the_same() -> None:
    nested = flatten({"security": {"protocol": "SSL"}, "fetch": {"min": {"bytes": 1}}, "check.crcs": True}, "file")
    assert nested == {"security.protocol": "SSL", "fetch.min.bytes": "1", "check.crcs": "true"}


def test_a_value_can_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    assert check_names({"sasl.password_file": str(tmp_path / "password")}, "-X") == {"sasl.password": "s3cret"}
    with pytest.raises(ConfigError, match=r"sasl\.password_file: cannot read"):
        check_names({"sasl.password_file": str(tmp_path / "nowhere")}, "-X")


SECRETS = [
    "sasl.password",
    "ssl.key.password",
    "ssl.keystore.password",
    "sasl.oauthbearer.client.secret",
    "ssl.key.pem",
]


def test_no_way_of_printing_settings_shows_a_secret() -> None:
    canary = f"CANARY-{uuid.uuid4()}"
    table = "\n".join(f'"{name}" = "{canary}"' for name in SECRETS)
    write(f'[kafka]\n"bootstrap.servers" = "b:1"\n{table}\n[kafka.consumer]\n{table}\n[contexts.a.kafka]\n{table}')

    settings, clients = load_settings(Flags())
    chosen = clients.of("consumer", "test")

    assert chosen["sasl.password"] == canary
    shown = [
        repr(settings),
        str(settings),
        repr(clients),
        str(clients),
        repr(chosen),
        f"{chosen}",
        str(redacted(chosen)),
    ]
    assert not [text for text in shown if canary in text]


def test_a_refused_property_is_named_without_its_value() -> None:
    canary = f"CANARY-{uuid.uuid4()}"
    with pytest.raises(ConfigError) as refused:
        check_names({"sasl.jaas.config": canary}, "-X")
    assert canary not in str(refused.value)


def test_properties_behave_as_a_mapping() -> None:
    assert dict(Properties({"a": "1"}).over({"a": "0", "b": "2"})) == {"a": "1", "b": "2"}
