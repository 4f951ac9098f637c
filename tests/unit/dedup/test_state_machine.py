"""Three workers, five records, one store, and whatever may happen to them, in any order hypothesis thinks of."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fanout.dedup.memory import MemoryStore, Table
from fanout.dedup.store import OWNER_LIFE_S, Answer, Claim, claim

WINDOW_S = 1_000.0
RECORDS = range(5)
WORKERS = range(3)

worker_numbers = st.sampled_from(WORKERS)
record_numbers = st.sampled_from(RECORDS)


@dataclass
class Worker:
    """One process. `running`: records claimed and not run yet; `ran`: run and not completed; `done`: to be settled."""

    owner: str
    running: set[int] = field(default_factory=set)
    ran: set[int] = field(default_factory=set)
    done: set[int] = field(default_factory=set)
    readings: Counter[int] = field(default_factory=Counter)

    def of(self, record: int) -> Claim:
        return Claim(b"%d" % record, f"{self.owner}:{record + 100 * self.readings[record]}".encode())


class Delivery(RuleBasedStateMachine):
    """Records stay unread for ever until the holder of their partition commits them; all are in one partition."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.table = Table(clock=lambda: self.now)
        self.store = MemoryStore(WINDOW_S, self.table)
        self.lives = 0
        self.workers = [self.born() for _ in WORKERS]
        self.holder = 0
        self.settled: set[int] = set()
        self.effects: Counter[int] = Counter()
        self.sink: set[int] = set()
        self.excuses: Counter[int] = Counter()

    def born(self) -> Worker:
        self.lives += 1
        worker = Worker(f"w{self.lives}")
        self.store.renew(worker.owner, OWNER_LIFE_S)
        return worker

    @rule(number=worker_numbers, record=record_numbers)
    def read(self, number: int, record: int) -> None:
        worker = self.workers[number]
        if number != self.holder or record in self.settled | worker.running | worker.ran | worker.done:
            return
        if not self.store.alive([worker.owner.encode()]):
            self.store.renew(worker.owner, OWNER_LIFE_S)
        match claim(self.store, [worker.of(record)])[0]:
            case Answer.RUN:
                worker.running.add(record)
            case Answer.DONE:
                worker.done.add(record)

    @rule(number=worker_numbers)
    def run(self, number: int) -> None:
        worker = self.workers[number]
        for record in worker.running:
            self.effects[record] += 1
            self.sink.add(record)
        worker.ran |= worker.running
        worker.running = set()

    @rule(number=worker_numbers)
    def complete(self, number: int) -> None:
        worker = self.workers[number]
        self.store.complete([worker.of(record) for record in worker.ran])
        worker.done |= worker.ran
        worker.ran = set()

    @rule(number=worker_numbers)
    def settle(self, number: int) -> None:
        worker = self.workers[number]
        if number == self.holder:
            self.settled |= worker.done
        worker.done = set()

    @rule(number=worker_numbers)
    def renew(self, number: int) -> None:
        self.store.renew(self.workers[number].owner, OWNER_LIFE_S)

    @rule(number=worker_numbers)
    def crash(self, number: int) -> None:
        self.excuses.update(self.workers[number].ran)
        self.workers[number] = self.born()

    @rule(number=worker_numbers)
    def rebalance(self, number: int) -> None:
        before = self.workers[self.holder]
        if number != self.holder:
            self.store.release([before.of(record) for record in before.running])
            before.readings.update(before.running)
            before.running = set()
        self.holder = number

    @rule(seconds=st.sampled_from([1.0, OWNER_LIFE_S + 1]))
    def time_passes(self, seconds: float) -> None:
        """Those that are not renewed in time were away for too long."""
        self.now += seconds
        for worker in self.workers:
            if not self.store.alive([worker.owner.encode()]):
                self.excuses.update(worker.running | worker.ran)

    @rule(record=record_numbers)
    def forget(self, record: int) -> None:
        if self.store.forget([entry for entry in self.store.look([b"%d" % record]) if entry is not None]):
            self.excuses[record] += 1

    @rule()
    def the_window_ends(self) -> None:
        self.excuses.update(int(key) for key in self.table.kept)
        self.now += WINDOW_S + 1
        self.time_passes(0.0)

    @invariant()
    def nothing_is_settled_that_never_ran(self) -> None:
        assert all(self.effects[record] for record in self.settled)

    @invariant()
    def what_ran_twice_has_a_named_cause(self) -> None:
        assert all(count <= 1 + self.excuses[record] for record, count in self.effects.items())

    def teardown(self) -> None:
        """Left in peace, the rest is finished: no key sticks."""
        for _ in range(4):
            self.now += OWNER_LIFE_S + 1
            for number in WORKERS:
                self.store.renew(self.workers[number].owner, OWNER_LIFE_S)
            for record in RECORDS:
                self.read(self.holder, record)
            for number in WORKERS:
                self.run(number)
                self.complete(number)
                self.settle(number)
        assert self.settled == set(RECORDS) == self.sink


Delivery.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestDelivery = Delivery.TestCase
