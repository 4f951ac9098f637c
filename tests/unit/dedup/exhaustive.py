"""
Every interleaving of two workers over one record, small enough to be searched whole.

The record is read by whoever holds its partition until it is committed. A worker may crash and come back under another
name, lose its owner key while it lives, or have the partition taken away; the store may forget. At every step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from fanout.dedup.memory import Kept, MemoryStore, Table
from fanout.dedup.store import Answer, Claim, owner_of

__all__ = ["Found", "Step", "World", "exists_is_done", "ours", "search", "set_and_delete"]

KEY = b"the record"
FOR_EVER = float("inf")


class Worker(NamedTuple):
    """`at`: what it does next. `seen`: the token that holds the key. `reading`: how often it was given the record."""

    name: int
    life: int = 0
    at: str = "read"
    seen: bytes = b""
    reading: int = 1

    @property
    def owner(self) -> str:
        return f"{self.name}.{self.life}"

    @property
    def claim(self) -> Claim:
        return Claim(KEY, f"{self.owner}:{self.reading}".encode())


class World(NamedTuple):
    """`kept`: token (None: done) of the key, or () for no key. `excuses`: which of the named cases have happened."""

    kept: tuple[bytes | None, ...] = ()
    owners: frozenset[str] = frozenset({"0.0", "1.0"})
    workers: tuple[Worker, Worker] = (Worker(0), Worker(1))
    holder: int = 0
    is_committed: bool = False
    effects: int = 0
    sink: int = 0
    excuses: frozenset[str] = frozenset()

    def put(self, worker: Worker) -> World:
        """This world with `worker` in its place."""
        first, second = self.workers
        return self._replace(workers=(worker, second) if worker.name == 0 else (first, worker))


Step = Callable[[World, Worker], Iterator[World]]
"""What a worker may do next."""


@dataclass(slots=True)
class Found:
    """What a search met: worlds it counted, and one of each kind that must not be."""

    worlds: int = 0
    lost: list[World] = field(default_factory=list)
    doubled: list[World] = field(default_factory=list)
    doubled_in_sink: list[World] = field(default_factory=list)
    stuck: list[World] = field(default_factory=list)


def ours(world: World, worker: Worker) -> Iterator[World]:
    """The protocol, by the store that runs: ask, look for the owner, take over, run, complete, settle."""
    table = Table(clock=lambda: 0.0, owners={owner.encode(): 1.0 for owner in world.owners})
    table.kept.update((KEY, Kept(token, b"-", FOR_EVER)) for token in world.kept)
    store = MemoryStore(FOR_EVER, table)

    def kept() -> tuple[bytes | None, ...]:
        return tuple(one.token for one in table.kept.values())

    match worker.at:
        case "read" if worker.owner not in world.owners:
            pass  # its word comes first
        case "read" if world.holder == worker.name and not world.is_committed:
            yield after(world, worker, store.ask([worker.claim], [b""])[0], kept())
        case "look":
            gone = not store.alive([owner_of(worker.seen)])
            yield world.put(worker._replace(at="take over" if gone else "read"))
        case "take over":
            yield after(world, worker, store.ask([worker.claim], [worker.seen])[0], kept())
        case "run":
            yield ran(world, worker, "complete")
            if world.holder != worker.name:
                store.release([worker.claim])
                # Given the partition back, it reads the record under another number: a token is never used again.
                again = worker._replace(at="read", reading=worker.reading + 1)
                yield world._replace(kept=kept()).put(again)
        case "complete":
            store.complete([worker.claim])
            yield world._replace(kept=kept()).put(worker._replace(at="settle"))
        case "settle":
            yield settled(world, worker, "read")
    if worker.owner not in world.owners:
        yield world._replace(owners=world.owners | {worker.owner})


def after(world: World, worker: Worker, answer: Answer | bytes, kept: tuple[bytes | None, ...]) -> World:
    """Where an answer of the store leads."""
    if isinstance(answer, bytes):
        return world.put(worker._replace(at="look", seen=answer))
    return world._replace(kept=kept).put(worker._replace(at="run" if answer is Answer.RUN else "settle", seen=b""))


def set_and_delete(world: World, worker: Worker) -> Iterator[World]:
    """The textbook: set if absent before, delete after the commit; a key that exists is passed over."""
    match worker.at:
        case "read" if world.holder == worker.name and not world.is_committed:
            if world.kept:
                yield world.put(worker._replace(at="settle"))
            else:
                yield world._replace(kept=(worker.claim.token,)).put(worker._replace(at="run"))
        case "run":
            yield ran(world, worker, "settle and delete")
        case "settle and delete":
            yield settled(world, worker, "delete")
        case "delete":
            yield world._replace(kept=()).put(worker._replace(at="read"))
        case "settle":
            yield settled(world, worker, "read")


def exists_is_done(world: World, worker: Worker) -> Iterator[World]:
    """The same without the delete: a key that exists counts as done for as long as it lives."""
    for then in set_and_delete(world, worker):
        deleted = worker.at == "delete"
        yield then._replace(kept=world.kept) if deleted else then


def ran(world: World, worker: Worker, then: str) -> World:
    """One effect. The conditional sink takes the record's position once."""
    return world._replace(effects=world.effects + 1, sink=1).put(worker._replace(at=then))


def settled(world: World, worker: Worker, then: str) -> World:
    """A commit counts while the partition is held."""
    committed = world.is_committed or world.holder == worker.name
    return world._replace(is_committed=committed).put(worker._replace(at=then))


def faults(world: World) -> Iterator[World]:
    """Everything that may go wrong, and what is excused by it."""
    for worker in world.workers:
        # The effect is there, and nothing says so yet.
        excused = {"crash"} if worker.at == "complete" else set[str]()
        reborn = Worker(worker.name, worker.life + 1)
        crashed = world._replace(excuses=world.excuses | excused, owners=world.owners | {reborn.owner})
        yield crashed.put(reborn)
        if worker.owner in world.owners:
            paused = set[str]() if worker.at in ("read", "settle") else {"pause"}
            yield world._replace(owners=world.owners - {worker.owner}, excuses=world.excuses | paused)
    yield world._replace(holder=1 - world.holder)
    if world.kept:
        yield world._replace(kept=(), excuses=world.excuses | {"forgotten"})


def time_passes(world: World) -> Iterator[World]:
    """The keys of owners that crashed end by themselves."""
    living = {worker.owner for worker in world.workers}
    for owner in world.owners - living:
        yield world._replace(owners=world.owners - {owner})


def search(step: Step, most_faults: int) -> Found:
    """Walks through every world that can be reached with so many faults."""
    found, first = Found(), (World(), most_faults)
    seen, to_see = {first}, deque([first])
    back: dict[tuple[World, int], list[tuple[World, int]]] = {}
    while to_see:
        here = world, left = to_see.popleft()
        judge(world, found)
        calm = [then for worker in world.workers for then in step(world, worker)] + list(time_passes(world))
        onward = [(then, left) for then in calm]
        for there in onward:
            back.setdefault(there, []).append(here)
        if left:
            onward += [(then, left - 1) for then in faults(world)]
        fresh = set(onward) - seen
        seen |= fresh
        to_see += fresh
    found.worlds = len(seen)
    found.stuck = [world for world, _ in seen - reaching(back, [one for one in seen if one[0].is_committed])]
    return found


def judge(world: World, found: Found) -> None:
    if world.is_committed and world.effects == 0:
        found.lost.append(world)
    if world.effects > 1 and not world.excuses:
        found.doubled.append(world)
    if world.sink > 1:
        found.doubled_in_sink.append(world)


def reaching(
    back: dict[tuple[World, int], list[tuple[World, int]]], ends: list[tuple[World, int]]
) -> set[tuple[World, int]]:
    """Worlds from which the record gets committed with no further fault."""
    reached, to_see = set(ends), deque(ends)
    while to_see:
        for before in back.get(to_see.popleft(), ()):
            if before not in reached:
                reached.add(before)
                to_see.append(before)
    return reached
