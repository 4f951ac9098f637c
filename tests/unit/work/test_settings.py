"""What workers are told, and what their clients are allowed."""

from __future__ import annotations

from typing import Any

import pytest

from fanout.config.clients import Clients
from fanout.config.properties import Properties
from fanout.config.work import RunWork, WorkSettings
from fanout.errors import ConfigError
from fanout.work.properties import (
    consumer_properties,
    is_cooperative,
    member_properties,
    producer_properties,
    where_new,
    with_instance,
)

RUN = RunWork(run="r", source="orders", topic="temp", sources={0: 2, 11: 0})


def settings_with(consumer: dict[str, str] | None = None, **more: Any) -> WorkSettings:
    common = {"bootstrap.servers": "b:9092", "sasl.password": "CANARY"}
    return WorkSettings(
        clients=Clients(common=Properties(common), consumer=Properties(consumer or {})), app="shop:app", **more
    )


def test_settings_cross_to_a_process_unchanged_and_show_no_secret() -> None:
    settings = settings_with({"fetch.min.bytes": "1"}, run=RUN, group="g", topics=("a", "b"), workers=3)
    line = settings.to_json()
    assert line.count(b"\n") == 1
    restored = WorkSettings.from_json(line)
    assert restored.run == RUN
    assert {**restored.clients.of("consumer", "x")} == {**settings.clients.of("consumer", "x")}
    assert (restored.group, tuple(restored.topics), restored.workers) == ("g", ("a", "b"), 3)
    assert "CANARY" not in repr(settings)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"workers": 0}, "--workers"),
        ({"concurrency": 0}, "--concurrency"),
        ({"dead_letter_share": 1.5}, "--dead-letter-share"),
        ({"run": RUN}, "--group"),
    ],
)
def test_settings_that_cannot_work_are_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=f"^{said}: "):
        settings_with(**more)


@pytest.mark.parametrize(
    ("name", "value"),
    [("enable.auto.commit", "true"), ("isolation.level", "read_uncommitted"), ("enable.auto.offset.store", "True")],
)
def test_a_property_that_loses_records_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: "):
        consumer_properties(settings_with({name: value}), "g")


def test_what_is_offered_can_be_overridden_and_what_is_needed_cannot() -> None:
    own = {"queued.min.messages": "7", "auto.offset.reset": "latest", "group.id": "other", "session.timeout.ms": "6000"}
    outside = consumer_properties(settings_with(own), "g")
    assert (outside["queued.min.messages"], outside["auto.offset.reset"], outside["group.id"]) == ("7", "latest", "g")
    inside = consumer_properties(settings_with(own, run=RUN, group="g"), "g")
    assert (inside["auto.offset.reset"], inside["session.timeout.ms"]) == ("error", "6000")
    assert (is_cooperative(outside), is_cooperative(inside)) == (False, True)
    assert outside["enable.auto.commit"] == inside["enable.auto.commit"] == "false"


def test_dead_letters_are_always_written_safely() -> None:
    own = Properties({"bootstrap.servers": "b:9092", "acks": "1", "enable.idempotence": "false"})
    written = producer_properties(WorkSettings(clients=Clients(common=own), app="shop:app"))
    assert (written["acks"], written["enable.idempotence"]) == ("all", "true")


@pytest.mark.parametrize(
    ("said", "place"), [(None, "earliest"), ("smallest", "earliest"), ("end", "latest"), ("error", "error")]
)
def test_a_new_group_begins_where_the_client_properties_say(said: str | None, place: str) -> None:
    assert where_new(settings_with({"auto.offset.reset": said} if said else None)) == place


def test_a_place_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^auto\.offset\.reset: "):
        where_new(settings_with({"auto.offset.reset": "middle"}))


def test_the_consumer_protocol_is_told_nothing_that_its_brokers_decide() -> None:
    settings = settings_with({"group.protocol": "consumer"}, run=RUN, group="g")
    properties = consumer_properties(settings, "g")
    assert properties.keys().isdisjoint({"session.timeout.ms", "partition.assignment.strategy"})
    assert is_cooperative(properties)
    with pytest.raises(ConfigError, match="the brokers decide that"):
        consumer_properties(settings_with({"group.protocol": "consumer", "session.timeout.ms": "9000"}), "g")
    with pytest.raises(ConfigError, match="use one of the two"):
        consumer_properties(settings_with({"group.protocol": "consumer", "group.instance.id": "host"}), "g")


def test_every_static_member_of_a_host_has_a_name_of_its_own_that_stays() -> None:
    settings = settings_with({"group.instance.id": "host"})
    names = {
        member_properties(with_instance(settings, seat), "g", topic)["group.instance.id"]
        for seat in (0, 1)
        for topic in ("orders", "clicks")
    }
    assert names == {"host-0-orders", "host-0-clicks", "host-1-orders", "host-1-clicks"}
    assert with_instance(settings_with({}), 1) == settings_with({})
