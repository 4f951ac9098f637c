"""
The old group while a run drains it: Empty, at the offsets we wrote last, and never past the finished mark.

A broker takes an offset commit without a member id from anyone, so before each write
the group is looked at: members, or offsets that are not ours, mean that somebody
else works with it, and the run stops rather than write over them.
"""

from __future__ import annotations

from collections.abc import Mapping

from fanout.errors import ProofError

from .finished_mark import MOVED
from .plan import Plan
from .ports import Doors
from .standing import Standing

__all__ = ["OldGroup"]


class OldGroup:
    """Moves the group, and only forward."""

    def __init__(self, plan: Plan, doors: Doors, standing: Standing) -> None:
        self._group = plan.settings.group
        self._topic = plan.settings.topic
        self._topic_id = plan.source_id
        self._doors = doors
        self._standing = standing
        self._attempted: dict[int, int] = {}

    def require_untouched(self) -> None:
        """Raises ProofError when the group has members, was moved, or its topic was made again."""
        if self._doors.cluster.topic_id(self._topic) != self._topic_id:
            raise ProofError(f"topic {self._topic} was deleted and made again during the run", MOVED)
        group = self._doors.groups.describe(self._group)
        if not group.is_idle:
            named = "; ".join(map(str, group.members)) or group.state
            raise ProofError(f"group {self._group} is not Empty any more: {named}", "stop these consumers first")
        found = {p: offset for p, (offset, _) in self._doors.cluster.committed(self._group, self._topic).items()}
        # A write whose answer was lost may have happened or not: both are ours.
        ours = {p: {self._standing.written.get(p), self._attempted.get(p)} for p in {*found, *self._standing.written}}
        moved = [
            f"{p} at {found.get(p)}, not {self._standing.written.get(p)}" for p in ours if found.get(p) not in ours[p]
        ]
        if moved:
            problem = f"group {self._group} was moved by another tool: {self._topic} partition {', '.join(moved)}"
            raise ProofError(problem, MOVED)
        self._standing.written = found
        self._attempted = {}

    def move_up_to(self, offsets: Mapping[int, int]) -> None:
        """Moves each partition that is below its offset; metadata is written empty, as consumers write it."""
        self.require_untouched()
        written = self._standing.written
        higher = {p: offset for p, offset in offsets.items() if offset > written.get(p, -1)}
        if higher:
            self._attempted = higher
            self._doors.cluster.commit(self._group, self._topic, {p: (offset, "") for p, offset in higher.items()})
            self._standing.written = written | higher
            self._attempted = {}
