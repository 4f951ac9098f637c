"""The command's frame: quick help, shared options anywhere, results in four formats, errors as exit codes."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import typer

from fanout.cli import main
from fanout.cli.output import Answer, render
from fanout.cli.progress import Meter, Tick
from fanout.cli.verbs import VERBS, WITH_VALUE, WITHOUT_VALUE, build, hoist
from fanout.errors import FanoutError

HEAVY = (
    "asyncio",
    "confluent_kafka",
    "fanout.config.settings",
    "fanout.drain.flow",
    "pydantic",
    "rich",
    "structlog",
    "uvloop",
)
"""Modules whose import alone would take most of the time `fanout --help` may take."""


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    code = ended.value.code
    assert isinstance(code, int)
    return code


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("FANOUT_BOOTSTRAP_SERVERS", raising=False)


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\nfrom fanout.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as ended: assert not ended.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


def test_the_module_and_the_command_are_the_same() -> None:
    ran = subprocess.run([sys.executable, "-m", "fanout", "--version"], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("fanout ")


def test_every_verb_has_a_page_of_help(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in VERBS:
        assert run(verb.__name__, "--help") == 0
        assert f"Usage: fanout {verb.__name__}" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["ls", "show", "export", "redrive"])
def test_every_verb_of_dead_letters_has_a_page_of_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("dlq", verb, "--help") == 0
    assert f"Usage: fanout dlq {verb}" in capsys.readouterr().out


def test_letters_are_not_put_back_among_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-b", "127.0.0.1:9", "dlq", "redrive", "-t", "dead:0", "--to-topic", "dead") == 2
    assert "--to-topic: dead is the dead-letter topic itself" in capsys.readouterr().err


def test_the_hoisted_options_are_those_that_there_are() -> None:
    command = typer.main.get_command(build())
    flags: set[str] = set()
    valued: set[str] = set()
    for parameter in command.params:
        if parameter.name in ("help", "_"):
            continue
        (flags if parameter.is_flag else valued).update(parameter.opts)  # type: ignore[attr-defined]
    assert flags == set(WITHOUT_VALUE)
    assert valued == set(WITH_VALUE)


@pytest.mark.parametrize(
    ("written", "hoisted"),
    [
        (["doctor", "-o", "json"], ["-o", "json", "doctor"]),
        (["drain", "a:b", "--output=json", "-t", "x"], ["--output=json", "drain", "a:b", "-t", "x"]),
        (["-q", "doctor", "-X", "a=b", "-X", "c=d"], ["-q", "-X", "a=b", "-X", "c=d", "doctor"]),
        (["work", "--", "-o", "json"], ["work", "--", "-o", "json"]),
        (["doctor", "-o"], ["-o", "doctor"]),
    ],
)
def test_shared_options_may_stand_behind_the_verb(written: list[str], hoisted: list[str]) -> None:
    assert hoist(written) == hoisted


FORWARD = ("forward", "-t", "orders", "-g", "carry", "--to-topic", "target")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("doctor",), "--bootstrap-server: no broker is named"),
        (("-X", "acsk=1", "doctor"), '-X: acsk: no such client property; did you mean "acks"?'),
        (("-X", "acks", "doctor"), "-X: 'acks' is not KEY=VALUE"),
        (("-o", "xml", "doctor"), "output: Input should be"),
        (("-F", "nowhere.properties", "doctor"), "cannot read nowhere.properties"),
        (("-c", "nowhere.toml", "doctor"), "--config: there is no file nowhere.toml"),
        ((*FORWARD, "--partitioner", "murmur3"), 'none of murmur2, crc32, fnv1a, xxh3; did you mean "murmur2"?'),
        ((*FORWARD, "--compression", "brotli"), "--compression: 'brotli' is none of"),
        ((*FORWARD, "--until", "noon"), "--until: 'noon' is not known here"),
        ((*FORWARD, "--until", "end", "--to", "latest"), "--to: --until end names an end already"),
        ((*FORWARD, "--to", "committed"), "--to: committed is where it begins"),
        ((*FORWARD, "--delivery", "at-most-once"), "--delivery: 'at-most-once' is none of exactly-once, at-least-once"),
        ((*FORWARD, "--max-rate", "fast"), "--max-rate: 'fast' is no rate: write 200/s"),
        ((*FORWARD, "--commit-interval", "1m"), "--commit-interval: '1m' is not from 10ms to 20s"),
        ((*FORWARD, "--max-rate", "9/s", "--rate-scope", "group"), "--rate-scope: a group's rate is shared by"),
        (("forward", "-t", "a b", "-g", "g", "--to-topic", "t"), "-t: 'a b' is no topic name"),
    ],
)
def test_what_cannot_work_is_named_under_its_flag_with_code_2(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""


def test_a_misspelt_verb_and_a_missing_option_are_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("drian") == 2
    assert run("forward", "-t", "orders") == 2
    assert "--group" in capsys.readouterr().err


def test_no_broker_is_temporary_and_names_the_address(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor", "-b", "127.0.0.1:1") == 75
    assert "127.0.0.1:1" in capsys.readouterr().err


TELLS_ALL = """
import sys
from pathlib import Path
from fanout.cli.frame import Frame
from fanout.kafka.admin import Admin

frame = Frame(bootstrap_servers="127.0.0.1:1", config=None, command_config=Path("client.properties"), properties=(),
              options={}, headers=True, color=False, loudness=1)
session = frame.open("test")
try:
    Admin(session.clients.of("admin", "test"), timeout_s=1.0).cluster()
except Exception as error:
    print(error, session.clients, session.settings, file=sys.stderr)
"""


def test_no_output_shows_a_secret_even_when_the_client_tells_everything(tmp_path: Path) -> None:
    canary = f"CANARY-{uuid.uuid4()}"
    (tmp_path / "client.properties").write_text(f"admin.ssl.key.password={canary}\n")
    secrets = f'sasl.mechanisms = "PLAIN"\nsasl.username = "me"\nsasl.password = "{canary}"'
    (tmp_path / "fanout.toml").write_text(
        f'[kafka.admin]\ndebug = "all"\nsecurity.protocol = "SASL_PLAINTEXT"\n{secrets}'
    )
    ran = subprocess.run([sys.executable, "-c", TELLS_ALL], capture_output=True, text=True, check=False)
    assert "DescribeCluster" in ran.stderr
    assert "sasl.password" in ran.stderr, "the client did not tell its settings: void"
    assert canary not in ran.stdout + ran.stderr


@pytest.mark.parametrize("error", FanoutError.__subclasses__(), ids=lambda error: error.__name__)
def test_every_error_ends_the_command_with_its_code_and_notes(
    error: type[FanoutError], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raised = error(*("word",) * (error.__init__.__code__.co_argcount - 1))
        raised.add_note("what stands")
        raise raised

    monkeypatch.setattr("fanout.cli.verbs.build", fail)
    assert run("doctor") == error.exit_code
    assert capsys.readouterr().err.rstrip().endswith("what stands")


ANSWER = Answer(
    document={"lanes": [1, 2]},
    columns=("partition", "records", "error"),
    rows=[(0, 12.5, None), (10, 3.0, "it, broke")],
    before=("before",),
    after=("after",),
)


def test_a_table_is_aligned_and_stands_between_its_words() -> None:
    assert render(ANSWER, "table", headers=True).splitlines() == [
        "before",
        "PARTITION  RECORDS  ERROR",
        "        0     12.5  -",
        "       10      3.0  it, broke",
        "after",
    ]
    assert render(ANSWER, "table", headers=False).splitlines()[1] == " 0  12.5  -"


def test_json_is_everything_with_its_schema_version() -> None:
    assert json.loads(render(ANSWER, "json", headers=True)) == {"schema_version": 1, "lanes": [1, 2]}


def test_json_lines_are_the_rows() -> None:
    first = render(ANSWER, "jsonl", headers=True).splitlines()[0]
    assert json.loads(first) == {"schema_version": 1, "partition": 0, "records": 12.5, "error": None}


def test_csv_is_the_rows_and_quotes_what_it_must() -> None:
    rows = list(csv.reader(io.StringIO(render(ANSWER, "csv", headers=True))))
    assert rows == [["partition", "records", "error"], ["0", "12.5", ""], ["10", "3.0", "it, broke"]]


def test_an_answer_without_rows_has_no_table() -> None:
    assert render(Answer(document={}, after=("nothing",)), "table", headers=True) == "nothing\n"


def test_the_meter_measures_the_last_seconds_only() -> None:
    now = iter([0.0, 1.0, 20.0, 21.0, 22.0])
    meter = Meter(lambda: next(now))
    assert meter.rate == 0.0
    for done in (0, 100, 200, 250, 300):
        meter.add(done)
    assert meter.rate == 50.0
    assert meter.eta_s(500) == 10.0


def test_a_tick_says_how_much_how_fast_and_until_when() -> None:
    assert str(Tick(done=5, total=None, rate=2.0, eta_s=None)) == "5 records · 2/s"
    tick = Tick(done=5000, total=20_000, rate=1000.0, eta_s=15.0, note="3 lanes")
    assert str(tick) == "5,000 of 20,000 records · 1,000/s · ETA 15s · 3 lanes"
