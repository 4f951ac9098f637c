"""`fanout dedup` over a file: what is known, what is forgotten and what is not, and counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fanout.cli import main
from fanout.dedup.keys import id_key, key_prefix
from fanout.dedup.opening import open_store
from fanout.dedup.store import Answer, Claim, DedupStore, claim

PREFIX = key_prefix("billing", "orders")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DedupStore]:
    url = f"sqlite:///{tmp_path / 'claims.db'}"
    monkeypatch.setenv("FANOUT_DEDUP__URL", url)
    monkeypatch.setenv("FANOUT_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.chdir(tmp_path)
    store = open_store(url, 600)
    store.renew("here", 60)
    yield store
    store.close()


def of(name: str, owner: str = "here") -> Claim:
    return Claim(id_key(PREFIX, name.encode()), f"{owner}:1".encode(), b"h")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["dedup", *arguments])
    code = ended.value.code
    assert isinstance(code, int)
    return code


@pytest.mark.parametrize("verb", ["get", "forget", "stats"])
def test_every_verb_has_a_page_of_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(verb, "--help") == 0
    assert f"Usage: fanout dedup {verb}" in capsys.readouterr().out


def test_a_record_is_shown_as_it_stands(store: DedupStore, capsys: pytest.CaptureFixture[str]) -> None:
    claim(store, [of("held"), of("left", "gone")])
    store.complete([of("done")])
    ids = ("done", "held", "left", "never")
    assert run("get", "--namespace", "billing", "-t", "orders", *ids, "-o", "json") == 0
    shown: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["records"]
    assert [one["state"] for one in shown] == ["done", "claimed", "claimed", "unknown"]
    assert [one.get("is_owner_alive") for one in shown] == [False, True, False, None]
    assert shown[0]["key"] == "billing/orders/i:done"


def test_forgetting_is_a_dry_run_until_it_is_told_to_and_spares_what_is_being_done(
    store: DedupStore, capsys: pytest.CaptureFixture[str]
) -> None:
    claim(store, [of("held")])
    store.complete([of("done")])
    words = ("forget", "--namespace", "billing", "-t", "orders", "done", "held", "never", "-o", "json")
    assert run(*words) == 0
    assert json.loads(capsys.readouterr().out)["chosen"] == ["billing/orders/i:done"]
    assert store.look([of("done").key])[0] is not None
    assert run(*words, "--execute", "-y") == 0
    assert json.loads(capsys.readouterr().out)["forgotten"] == 1
    assert store.look([of("done").key]) == [None]
    assert store.look([of("held").key])[0] is not None


@pytest.mark.parametrize("meanwhile", ["taken over", "back", "done by another", "deleted"])
def test_what_changed_while_the_question_stood_is_named_and_not_forgotten(
    meanwhile: str, store: DedupStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    claim(store, [of("left", "gone")])
    store.complete([of("done")])
    asked: list[str] = []

    def confirm(question: str, **_: Any) -> None:
        asked.append(question)
        if meanwhile == "taken over":
            assert claim(store, [of("left")]) == [Answer.RUN]
        elif meanwhile == "back":
            store.renew("gone", 60)
        elif meanwhile == "done by another":
            store.complete([of("left", "gone")])
        else:
            store.release([of("left", "gone")])

    monkeypatch.setattr("typer.confirm", confirm)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    assert run("forget", "--namespace", "billing", "-t", "orders", "done", "left", "left", "--execute") == 0
    said = capsys.readouterr()
    assert asked == ["Forget 2 records?"]
    assert said.err == "billing/orders/i:done done\nbilling/orders/i:left claimed\n"
    assert "1 forgotten." in said.out
    assert "billing/orders/i:left has changed meanwhile and was left alone." in said.out
    assert store.look([of("done").key]) == [None]
    assert (store.look([of("left").key]) == [None]) == (meanwhile == "deleted")


def test_what_is_remembered_is_counted_by_app_and_topic(store: DedupStore, capsys: pytest.CaptureFixture[str]) -> None:
    store.complete([of("1"), of("with/a/slash"), Claim(b"a/b/clicks/o:T:0:1", b"here:2")])
    claim(store, [of("held"), of("left", "gone")])
    assert run("stats", "-o", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["owners"] == ["here"]
    assert told["handlers"] == [
        {"namespace": "a/b", "topic": "clicks", "done": 1, "claimed": 0, "left": 0},
        {"namespace": "billing", "topic": "orders", "done": 2, "claimed": 1, "left": 1},
    ]
    store.renew("here too", 60)
    assert run("stats") == 0
    assert "2 owners live, one for each handler of each worker." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("get", "-t", "orders", "1"), "--namespace billing"),
        (("get", "-t", "orders", "--namespace", "billing", "--origin", "17"), "PARTITION/OFFSET"),
    ],
)
@pytest.mark.usefixtures("store")
def test_what_is_missing_is_asked_for(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fanout._fanout.Cluster", lambda *_, **__: type("Twin", (), {"topic_id": lambda *_: "T"})())
    assert run(*words) == 2
    assert said in capsys.readouterr().err


def test_no_store_and_one_that_is_down_are_told(
    store: DedupStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    del store
    monkeypatch.setenv("FANOUT_DEDUP__URL", "redis://127.0.0.1:1/0")
    assert run("stats") == 75
    monkeypatch.delenv("FANOUT_DEDUP__URL")
    assert run("stats") == 2
    assert "FANOUT_DEDUP__URL" in capsys.readouterr().err


def test_a_table_written_as_one_variable_is_refused_and_its_value_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FANOUT_DEDUP", "redis://user:canary@127.0.0.1/0")
    with pytest.raises(SystemExit) as ended:
        main(["dedup", "stats"])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert "FANOUT_DEDUP__URL" in said
    assert "canary" not in said
