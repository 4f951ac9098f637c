"""Which verbs there are, and the options that all of them share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from .dedup import dedup
from .demo import demo
from .dlq import dlq
from .doctor import doctor
from .drain import drain
from .forward import forward
from .frame import Frame
from .signals import as_usual
from .work import work

__all__ = ["build", "hoist"]

VERBS: tuple[Callable[..., None], ...] = (forward, work, drain, doctor, demo)

UNTIL_STOPPED = ("forward", "work", "drain", "demo")
"""Verbs that a signal may end well."""

WITH_VALUE = (
    "-b",
    "--bootstrap-server",
    "-c",
    "--config",
    "--context",
    "-F",
    "--command-config",
    "-X",
    "--command-property",
    "-o",
    "--output",
    "--log-level",
    "--log-format",
)
WITHOUT_VALUE = ("--no-headers", "--no-color", "-q", "--quiet", "-v", "--verbose")


def build() -> typer.Typer:
    """The command with its verbs."""
    app = typer.Typer(
        name="fanout",
        help="Drains a Kafka backlog that its partitions cannot drain in time, and proves it.",
        rich_markup_mode=None,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_frame)
    for verb in VERBS:
        app.command(epilog="Options of every command: fanout --help.")(verb)
    app.add_typer(dlq, name="dlq")
    app.add_typer(dedup, name="dedup")
    return app


def hoist(argv: Sequence[str]) -> list[str]:
    """Puts shared options in front of the verb, so that they may be written behind it as well."""
    shared: list[str] = []
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word in WITH_VALUE:
            shared += [word, *([value] if (value := next(words, None)) is not None else [])]
        elif word in WITHOUT_VALUE or word.startswith(_GLUED):
            shared.append(word)
        else:
            rest.append(word)
    return shared + rest


_GLUED = tuple(f"{option}=" for option in WITH_VALUE if option.startswith("--"))


def _version(wanted: bool) -> None:
    if wanted:
        from fanout._fanout import __version__

        typer.echo(f"fanout {__version__}")
        raise typer.Exit


def _frame(
    context: typer.Context,
    bootstrap_server: Annotated[
        str | None,
        typer.Option("-b", "--bootstrap-server", metavar="HOST:PORT[,…]", help="Brokers; FANOUT_BOOTSTRAP_SERVERS."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("-c", "--config", metavar="FILE", help="fanout.toml; else ./, ~/.config/fanout/, /etc/fanout/."),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option("--context", metavar="NAME", help="A [contexts.NAME] of the configuration file.")
    ] = None,
    command_config: Annotated[
        Path | None, typer.Option("-F", "--command-config", metavar="FILE", help="Client properties of Kafka's tools.")
    ] = None,
    command_property: Annotated[
        list[str] | None,
        typer.Option("-X", "--command-property", metavar="KEY=VALUE", help="Any client property; repeatable."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FORMAT", help="Of the result on stdout: table, json, jsonl or csv."),
    ] = None,
    no_headers: Annotated[bool, typer.Option("--no-headers", help="Tables and CSV without their first line.")] = False,
    log_level: Annotated[
        str | None, typer.Option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")
    ] = None,
    log_format: Annotated[
        str | None, typer.Option("--log-format", metavar="FORMAT", help="auto, console or json.")
    ] = None,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours on stderr; NO_COLOR does the same.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only warnings, and no progress.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="As --log-level debug.")] = False,
    _: Annotated[bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)] = False,
) -> None:
    if context.invoked_subcommand not in UNTIL_STOPPED:
        as_usual()
    named = {"context": cluster, "output": output, "log_level": log_level, "log_format": log_format}
    context.obj = Frame(
        bootstrap_servers=bootstrap_server,
        config=config,
        command_config=command_config,
        properties=tuple(command_property or ()),
        options={name: value for name, value in named.items() if value is not None},
        headers=not no_headers,
        color=not no_color,
        loudness=-1 if quiet else int(verbose),
    )
