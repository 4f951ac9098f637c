"""What stands on the cluster when a run ends early, and what to do then."""

from __future__ import annotations

from dataclasses import dataclass, field

from fanout.errors import ProofError

from .plan import Plan

__all__ = ["Standing"]


@dataclass(kw_only=True, slots=True)
class Standing:
    """What exists on the cluster because of the run, kept true as the run goes.

    written: the old group's offsets as the run knows them. noted: whether anything of the run is on the cluster.
    forwarded: whether a lane may have carried anything.
    """

    written: dict[int, int]
    temp_topic_id: str | None = None
    noted: bool = False
    forwarded: bool = False
    home: bool = False
    trouble: list[str] = field(default_factory=list)

    def lines(self, plan: Plan, error: BaseException) -> list[str]:
        """For people: what stands after `error`, and what to do now."""
        names, settings = plan.names, plan.settings
        if not self.noted:
            return ["Nothing was changed."]
        offsets = ", ".join(f"{partition}: {offset}" for partition, offset in sorted(self.written.items()))
        where = "is home at" if self.home else "stands at what was finished:"
        lines = [
            f"What stands of run {names.run}:",
            f"  group {settings.group} on {settings.topic} {where} {offsets}",
        ]
        if self.temp_topic_id is not None:
            groups = f"{names.forward_group}, {names.work_group}"
            lines.append(f"  temp topic {names.temp_topic} is there, and groups {groups}")
        lines += [f"  {trouble}" for trouble in self.trouble]
        return lines + self._advice(plan, error)

    def _advice(self, plan: Plan, error: BaseException) -> list[str]:
        if self.home:
            return ["The old consumers can be started. Delete the temp topic when it is no longer wanted."]
        if isinstance(error, ProofError):
            return [
                "Keep the temp topic, and leave the old consumers stopped, until it is clear who wrote what.",
                "No record above the group's offsets was passed by; what lies below them was settled by the workers.",
            ]
        lines = ["Nothing is lost: the old consumers can be started and go on at these offsets."]
        if self.forwarded:
            lines.append("Records above them that the run's workers finished already are handled once more.")
        if self.temp_topic_id is not None:
            topic = plan.names.temp_topic
            lines.append(f"To drain again: kafka-topics --delete --topic {topic}, then the same command.")
        return lines
