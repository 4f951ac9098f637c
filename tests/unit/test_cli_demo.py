"""`fanout demo` without its Kafka: what is refused, how it is told, and what the exit code says."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from fanout.cli.demo_story import LiveStory, LoggedStory
from fanout.demo import cluster, jars, witness
from fanout.demo.effects import Verdict
from fanout.demo.gauge import Sample
from fanout.demo.result import After, Before, Drained, Result
from fanout.errors import ConfigError

from .test_cli import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fanout.demo.stage import DemoSettings
    from fanout.demo.story import Story


def result(*, lost: int) -> Result:
    began = Sample(at_s=0.0, handled=100, acknowledged=1_100)
    return Result(
        handler_ms=5.0,
        arriving=100,
        before=Before(consumers=3, rate=600.0),
        drain=Drained(workers=10, targets=30, began=began, records=1_000, rate=1_900.0, killed=frozenset()),
        after=After(emptied_s=9.0, rate=100.0, last=Sample(at_s=15.0, handled=1_450, acknowledged=1_451)),
        verdict=Verdict(
            records=1_500, effects=1_500, lost=lost, duplicated=0, out_of_order=0, foreign=0, repeated=0, findings=()
        ),
        elapsed_s=20.0,
    )


def demo_that_ends_with(ended: Result) -> type:
    class Played:
        gauge = None

        def __init__(self, _settings: DemoSettings, story: Story) -> None:
            self._story = story

        def stop(self) -> None:
            """It has ended already."""

        def run(self) -> Result:
            self._story.begin("compare")
            self._story.end("compared")
            self._story.result(ended)
            return ended

    return Played


@pytest.mark.parametrize(("lost", "code", "outcome"), [(0, 0, "proven"), (1, 3, "refuted")])
def test_the_exit_code_is_the_verdict(
    lost: int, code: int, outcome: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fanout.demo.scenario.Demo", demo_that_ends_with(result(lost=lost)))
    assert run("demo", "-o", "json") == code
    document = json.loads(capsys.readouterr().out)
    assert (document["outcome"], document["lost"]) == (outcome, lost)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--messages", "0"), "--messages: at least one"),
        (("--partitions", "0"), "--partitions: at least one"),
        (("--targets", "2"), "--targets: at least one for each of 3 partitions, not 2"),
        (("--handler-ms", "0"), "--handler-ms: above 0 and up to 20, not 0"),
        (("--handler-ms", "50"), "the old consumers must keep up"),
    ],
)
def test_a_story_that_cannot_be_told_is_refused_before_kafka_starts(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("demo", *arguments) == 2
    assert said in capsys.readouterr().err


def test_without_maven_the_demo_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(jars, "cache_folder", lambda: tmp_path)
    for module in (jars, cluster):
        monkeypatch.setattr(module, "find_java", lambda: tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run("demo") == 2
    assert "Apache Maven was not found: install it" in capsys.readouterr().err


def test_without_another_client_there_is_no_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kafka", None)
    with pytest.raises(ConfigError, match=r"pip install 'kafka-fanout\[demo\]'"):
        witness.find_kafka_python()


@pytest.mark.parametrize("tell", [LiveStory, LoggedStory])
def test_the_result_goes_to_standard_output_and_nothing_else_does(
    tell: Callable[[Callable[[Result], None]], LiveStory | LoggedStory], capsys: pytest.CaptureFixture[str]
) -> None:
    story = tell(lambda shown: print(f"records={shown.verdict.records}"))
    story.begin("drain: 10 workers")
    story.detail("cut: stop the lanes")
    story.glance(None)
    story.end("10 workers handled 1,000 orders")
    story.result(result(lost=0))
    story.close()
    assert capsys.readouterr().out == "records=1500\n"


def test_on_a_terminal_what_is_over_stays_on_the_screen(capsys: pytest.CaptureFixture[str]) -> None:
    story = LiveStory(lambda _: None)
    story.begin("drain: 10 workers")
    story.end("10 workers handled 1,000 orders")
    story.close()
    assert "✓ 10 workers handled 1,000 orders" in capsys.readouterr().err
