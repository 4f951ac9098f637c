"""`[dedup]`: where repeats are remembered, read from the file and the environment, never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from fanout.config.clients import Clients
from fanout.config.dedup import DedupSettings
from fanout.config.properties import Properties
from fanout.config.settings import Flags, Settings, load_settings
from fanout.config.work import WorkSettings
from fanout.dedup.memory import MemoryStore
from fanout.dedup.opening import open_store
from fanout.errors import ConfigError


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


def load(text: str = "") -> Settings:
    Path("fanout.toml").write_text(text, encoding="utf-8")
    return load_settings(Flags())[0]


def test_nothing_is_remembered_unless_a_store_is_named() -> None:
    assert load().dedup.settings() is None


def test_the_file_names_the_store_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    text = '[dedup]\nurl = "redis://file:1/0"\nwindow = "P1D"\non_store_down = "fail"\n'
    assert load(text).dedup.settings() == DedupSettings(
        url="redis://file:1/0", window_s=86_400, on_store_down="fail", namespace=None
    )
    monkeypatch.setenv("FANOUT_DEDUP__URL", "redis://env:1/0")
    found = load(text).dedup.settings()
    assert found is not None
    assert (found.url, found.window_s, found.on_store_down) == ("redis://env:1/0", 86_400, "fail")


def test_a_week_and_waiting_are_the_defaults() -> None:
    found = load('[dedup]\nurl = "memory://"').dedup.settings()
    assert found is not None
    assert (found.window_s, found.on_store_down) == (7 * 86_400, "pause")


def test_the_address_may_stand_in_a_file_and_is_never_shown() -> None:
    Path("secret").write_text("redis://me:CANARY@h:1/0\n", encoding="utf-8")
    settings = load('[dedup]\nurl_file = "secret"')
    found = settings.dedup.settings()
    assert found is not None
    assert found.url == "redis://me:CANARY@h:1/0"
    assert "CANARY" not in repr(settings) + repr(found) + repr(load('[dedup]\nurl = "redis://:CANARY@h"'))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[dedup]\nulr = "x"', 'dedup.ulr: no such setting; did you mean "url"?'),
        ('[dedup]\nurl = "redis://h"\nwindow = "7"', "dedup.window: '7' is no length of time: did you mean \"7s\"?"),
        ('[dedup]\nurl = "redis://h"\nwindow = "5s"', "dedup.window: at least 60 s"),
        ('[dedup]\nurl = "redis://h"\non_store_down = "skip"', "dedup.on-store-down: Input should be"),
        ('[dedup]\nurl = "redis://h"\nurl_file = "fanout.toml"', "dedup.url_file: dedup.url is set, too"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_name(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(text).dedup.settings()
    assert said in str(refused.value)


def test_a_variable_with_one_underscore_less_is_refused_and_tables_stay_in_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FANOUT_DEDUP_URL", "redis://h")
    with pytest.raises(ConfigError, match='did you mean "FANOUT_DEDUP__URL"'):
        load()
    monkeypatch.delenv("FANOUT_DEDUP_URL")
    monkeypatch.setenv("FANOUT_CONTEXTS__PROD__KAFKA", "{}")
    with pytest.raises(ConfigError, match="in the configuration file only"):
        load()


def test_workers_are_told_of_it_through_their_pipe() -> None:
    clients = Clients(common=Properties({"bootstrap.servers": "b:1"}))
    dedup = DedupSettings(url="redis://h", window_s=600, on_store_down="process", namespace="replay-7")
    settings = WorkSettings(clients=clients, app="m:a", dedup=dedup)
    assert WorkSettings.from_json(settings.to_json()).dedup == dedup


@pytest.mark.parametrize("url", ["mysql://h", "redis+sentinel://h:1", "sqlite://h/x", "sqlite:///", "h:6379", ""])
def test_an_address_that_is_none_of_a_store_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"dedup\.url"):
        open_store(url, 60)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:CANARY/1@host:6379/0",
        "redis://:CANARY@host:CANARY/0",
        "redis+sentinel://:CANARY@host:CANARY/main",
        "redis+sentinel://:CANARY@host:1/main/CANARY",
        "redis://:CANARY@[::1/0",
        "redis://host?no_such_option=CANARY",
    ],
)
def test_an_address_that_cannot_be_read_is_refused_without_a_word_of_it(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        open_store(url, 60)
    assert "CANARY" not in str(refused.value) + repr(refused.value)
    assert refused.value.__cause__ is None


def test_one_process_shares_what_it_keeps_in_memory() -> None:
    first, second = open_store("memory://shared", 60), open_store("memory://shared", 60)
    first.renew("a", 10)
    assert isinstance(second, MemoryStore)
    assert second.owners() == ["a"]


def test_redis_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "hiredis", None)
    for name in ("redis", "wire"):
        monkeypatch.delitem(__import__("sys").modules, f"fanout.dedup.{name}", raising=False)
    with pytest.raises(ConfigError, match=r"pip install 'kafka-fanout\[dedup\]'"):
        open_store("redis://h", 60)
