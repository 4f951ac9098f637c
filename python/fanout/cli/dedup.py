"""`fanout dedup`: what is remembered of records that were done. `forget` is a dry run unless it is told --execute."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from .output import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fanout.config.dedup import DedupSettings
    from fanout.dedup.store import DedupStore, Entry

    from .frame import Frame, Session

__all__ = ["dedup"]

AT_ONCE = 1_000
_NAMED = re.compile(rb"(.*?)/([\w.-]+)/[iohc]:", re.DOTALL)
"""Namespace and topic of a key; the rest is an id, which may hold anything."""

COLUMNS = ("key", "state", "owner", "expires")

dedup = typer.Typer(
    help="See and forget what is remembered of records that were done.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

IdsArgument = Annotated[list[str], typer.Argument(metavar="ID…", help="Ids of records; P/O with --origin.")]
AppOption = Annotated[
    str | None, typer.Option("--namespace", metavar="NAME", help="Name of the app; else that of [dedup].")
]
TopicOption = Annotated[str, typer.Option("-t", "--topic", metavar="T", help="Source topic of the handler.")]
OriginOption = Annotated[
    bool, typer.Option("--origin", help="Ids are partition/offset of records known by their origin.")
]


@dedup.command("get")
def get(
    context: typer.Context,
    ids: IdsArgument,
    topic: TopicOption,
    namespace: AppOption = None,
    origin: OriginOption = False,
) -> None:
    """Show what is known of records: done, claimed and by whom, or nothing."""
    session, settings, store = _open(context.obj)
    keys = _keys(session, _prefix(settings, namespace, topic), (topic, ids), origin=origin)
    found = store.look(keys)
    store.close()
    session.show(
        Answer(
            document={"records": [_told(key, entry) for key, entry in zip(keys, found, strict=True)]},
            columns=COLUMNS,
            rows=[_row(key, entry) for key, entry in zip(keys, found, strict=True)],
        )
    )


@dedup.command("forget")
def forget(
    context: typer.Context,
    ids: IdsArgument,
    topic: TopicOption,
    namespace: AppOption = None,
    origin: OriginOption = False,
    execute: Annotated[bool, typer.Option("--execute", help="Do it; else it is a dry run.")] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
) -> None:
    """Forget that records were done, so that they run again when they come again.

    A record that is claimed by a worker that lives is left alone: forgotten, it could run twice at a time. So is one
    that is no longer as it was when it was looked at: it is named.
    """
    session, settings, store = _open(context.obj)
    keys = list(dict.fromkeys(_keys(session, _prefix(settings, namespace, topic), (topic, ids), origin=origin)))
    found = list(zip(keys, store.look(keys), strict=True))
    chosen = [entry for _, entry in found if entry is not None and not entry.is_owner_alive]
    if execute and chosen and not yes and sys.stdin.isatty():
        typer.echo("\n".join(f"{_text(entry.key)} {entry.state}" for entry in chosen), err=True)
        typer.confirm(f"Forget {len(chosen)} records?", abort=True, err=True)
    changed = _forget(store, chosen) if execute else []
    store.close()
    forgotten = len(chosen) - len(changed) if execute else 0
    after = f"{forgotten} forgotten." if execute else f"{len(chosen)} would be forgotten. --execute does it."
    session.show(
        Answer(
            document={
                "executed": execute,
                "chosen": [_text(entry.key) for entry in chosen],
                "forgotten": forgotten,
                "changed": changed,
                "records": [_told(key, entry) for key, entry in found],
            },
            columns=COLUMNS,
            rows=[_row(key, entry) for key, entry in found],
            after=[after, *(f"{key} has changed meanwhile and was left alone." for key in changed)],
        )
    )


@dedup.command("stats")
def stats(context: typer.Context) -> None:
    """Count what is remembered, by app and topic. Looks at every key; work goes on meanwhile."""
    session, _, store = _open(context.obj)
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for keys in _pieces(store.keys(b"")):
        for entry in filter(None, store.look(keys)):
            named = _NAMED.match(entry.key)
            where = (_text(named[1]), _text(named[2])) if named else ("?", "?")
            states = counts.setdefault(where, {"done": 0, "claimed": 0, "left": 0})
            states["left" if entry.owner and not entry.is_owner_alive else entry.state] += 1
    owners = store.owners()
    store.close()
    rows: list[tuple[str | int, ...]] = [(*where, *states.values()) for where, states in sorted(counts.items())]
    session.show(
        Answer(
            document={
                "owners": owners,
                "handlers": [
                    {"namespace": namespace, "topic": topic, **states}
                    for (namespace, topic), states in sorted(counts.items())
                ],
            },
            columns=("namespace", "topic", "done", "claimed", "left"),
            rows=rows,
            after=[
                f"{len(owners)} owners live, one for each handler of each worker.",
                "`left`: claimed by owners that are gone, free for others.",
            ],
        )
    )


def _open(frame: Frame) -> tuple[Session, DedupSettings, DedupStore]:
    from fanout.dedup.opening import open_store
    from fanout.errors import ConfigError

    session = frame.open("dedup")
    settings = session.settings.dedup.settings()
    if settings is None:
        raise ConfigError("dedup.url", "no store is named: [dedup] url in fanout.toml, or FANOUT_DEDUP__URL")
    return session, settings, open_store(settings.url, settings.window_s)


def _prefix(settings: DedupSettings, namespace: str | None, topic: str) -> bytes:
    from fanout.dedup.keys import key_prefix
    from fanout.errors import ConfigError

    found = namespace or settings.namespace
    if found is None:
        raise ConfigError("--namespace", "name the app whose handler it is: --namespace billing")
    return key_prefix(found, topic)


def _keys(session: Session, prefix: bytes, records: tuple[str, list[str]], *, origin: bool) -> list[bytes]:
    from fanout.dedup.keys import id_key, origin_key
    from fanout.errors import ConfigError

    topic, ids = records
    if not origin:
        return [id_key(prefix, one.encode()) for one in ids]
    topic_id = session.cluster.topic_id(topic)
    places = [one.split("/") for one in ids]
    for one, place in zip(ids, places, strict=True):
        if len(place) != 2 or not all(part.isdigit() for part in place):
            raise ConfigError("ID", f"{one!r} is no place: write PARTITION/OFFSET, such as 0/4711")
    return [origin_key(prefix, topic_id, int(partition), int(offset)) for partition, offset in places]


def _forget(store: DedupStore, shown: list[Entry]) -> list[str]:
    """Deletes what is still as it was shown; names the others. A question may have been answered hours later."""
    now = store.look([entry.key for entry in shown])
    same = [before for before, entry in zip(shown, now, strict=True) if entry and not entry.is_owner_alive]
    gone = {entry.key for entry, was_there in zip(same, store.forget(same), strict=True) if was_there}
    return [_text(entry.key) for entry in shown if entry.key not in gone]


def _pieces(keys: Iterable[bytes]) -> Iterator[list[bytes]]:
    piece: list[bytes] = []
    for key in keys:
        piece.append(key)
        if len(piece) == AT_ONCE:
            yield piece
            piece = []
    if piece:
        yield piece


def _told(key: bytes, entry: Entry | None) -> dict[str, object]:
    if entry is None:
        return {"key": _text(key), "state": "unknown"}
    return {
        "key": _text(key),
        "state": entry.state,
        "owner": entry.owner,
        "is_owner_alive": entry.is_owner_alive,
        "expires_s": round(entry.expires_s, 3),
        "hash": _text(entry.hash),
    }


def _row(key: bytes, entry: Entry | None) -> tuple[str, str, str | None, str | None]:
    from fanout.config.durations import duration_text

    if entry is None:
        return _text(key), "unknown", None, None
    owner = entry.owner if entry.owner is None or entry.is_owner_alive else f"{entry.owner} (gone)"
    return _text(key), entry.state, owner, duration_text(entry.expires_s)


def _text(word: bytes) -> str:
    """For people and JSON: ids are whatever producers wrote."""
    return word.decode(errors="backslashreplace")
