"""The whole proof in one call: read the target by another client, compare, look at the end, say where the lost are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .check import check
from .read import READERS, read
from .state import end_state

if TYPE_CHECKING:
    from .check import Expectation
    from .ends import Isolation
    from .read import Follower
    from .verdict import Verdict

__all__ = ["Carried", "prove"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Carried:
    """A forward that is over: from where to where, and the group that holds its offsets."""

    bootstrap: str
    source: str
    target: str
    group: str


def prove(
    carried: Carried, expectation: Expectation, *, reader: str = "confluent-kafka", follower: Follower | None = None
) -> Verdict:
    """Prints the line of figures and returns the verdict; raises AssertionError unless everything is as it must be.

    With a `follower` of the target, which has ended, what it was shown at the time must be shown now as well.
    """
    # The end first: it waits for the markers of the last transaction, before which its records are not shown.
    end = end_state(carried.bootstrap, carried.group, carried.source, carried.target)
    shown = READERS[reader](carried.bootstrap, carried.target)
    verdict = check(shown if follower is None else follower.compare(shown), expectation, end=end)
    print(verdict)
    if not verdict.ok:
        raise AssertionError("\n  ".join([verdict.explain(), *_last_seen(carried, expectation, verdict)]))
    if follower is not None and (contradictions := follower.contradictions()):
        raise AssertionError("\n  ".join([str(verdict), *contradictions]))
    return verdict


def _last_seen(carried: Carried, expectation: Expectation, verdict: Verdict) -> list[str]:
    """For each lost record among the findings: where the source, and the target uncommitted, hold it."""
    places: dict[int, list[str]] = {
        finding.serial: [] for finding in verdict.findings if finding.check == "lost" and finding.serial is not None
    }
    if not places:
        return []
    looks: tuple[tuple[str, Isolation], ...] = (
        (carried.source, "read_committed"),
        (carried.target, "read_committed"),
        (carried.target, "read_uncommitted"),
    )
    for topic, isolation in looks:
        for record in read(carried.bootstrap, topic, isolation=isolation):
            serial = expectation.recipe.identify(record.value, record.headers)
            if serial in places:
                places[serial].append(f"{isolation} at {topic}/{record.partition}@{record.offset}")
    return [f"last seen         record {serial}: {'; '.join(seen) or 'nowhere'}" for serial, seen in places.items()]
