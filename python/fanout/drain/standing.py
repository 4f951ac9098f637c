"""What stands on the cluster when a run ends early, and what to do then."""

from __future__ import annotations

from dataclasses import dataclass, field

from .plan import Plan

__all__ = ["Standing"]


@dataclass(kw_only=True, slots=True)
class Standing:
    """What exists on the cluster because of the run, kept true as the run goes.

    written: the old group's offsets as the run knows them. forwarded: whether a lane may have carried anything.
    """

    written: dict[int, int]
    temp_topic_id: str | None = None
    group_notes: bool = False
    forwarded: bool = False
    home: bool = False
    trouble: list[str] = field(default_factory=list)

    def lines(self, plan: Plan) -> list[str]:
        """For people: what stands, and what to do now."""
        names, settings = plan.names, plan.settings
        if not self.group_notes and self.temp_topic_id is None:
            return ["Nothing was changed."]
        lines = [f"What stands of run {names.run}:"]
        offsets = ", ".join(f"{partition}: {offset}" for partition, offset in sorted(self.written.items()))
        where = "is home at" if self.home else "stands at what was finished:"
        lines.append(f"  group {settings.group} on {settings.topic} {where} {offsets}")
        if self.temp_topic_id is not None:
            lines.append(
                f"  temp topic {names.temp_topic} is there, and groups {names.forward_group}, {names.work_group}"
            )
        lines += [f"  {trouble}" for trouble in self.trouble]
        if self.home:
            lines.append("The old consumers can be started. Delete the temp topic when it is no longer wanted.")
            return lines
        lines.append("Nothing is lost: the old consumers can be started and go on at these offsets.")
        if self.forwarded:
            lines.append("Records above them that the run's workers finished already are handled once more.")
        if self.temp_topic_id is not None:
            lines.append(f"To drain again: kafka-topics --delete --topic {names.temp_topic}, then the same command.")
        return lines
