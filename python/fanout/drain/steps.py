"""
The steps of a drain, each by its name. They share a `Run` and never call each other;
`flow` puts them in order.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from fanout.config.forward import ForwardSettings
from fanout.errors import BrokerError, FanoutError, ProofError, RefusedError, UnreachableError
from fanout.kafka.tally import Tally, zero_note

from .caught_up import CaughtUp, Reading
from .finished_mark import MOVED, FinishedMarks, lane_notes, worker_notes
from .lanes import Lanes
from .plan import drains_note, refuse_second_run
from .ports import Live, Workers, WorkOrder
from .proof import Witness, count_source, judge, testify
from .state import Run

__all__ = [
    "check_the_group",
    "clear",
    "commit_the_start",
    "cut",
    "follow_until_caught_up",
    "hand_back",
    "lanes_and_workers",
    "make_temp_topic",
    "prove",
    "take_back",
    "wait_until_finished",
]

logger = logging.getLogger("fanout.drain")


def check_the_group(run: Run) -> None:
    """The old group is still Empty and where the plan found it."""
    run.step("check", f"group {run.plan.settings.group} is Empty and stands where the plan found it")
    run.old_group.require_untouched()


def make_temp_topic(run: Run) -> None:
    """The temp topic, read back. The work group is noted first, so that no temp topic is ever without an owner."""
    plan, cluster = run.plan, run.doors.cluster
    run.pause(0)
    run.step("expand", f"topic {plan.temp.name}, {plan.temp.partitions} partitions, {plan.temp.replication} replicas")
    if run.doors.topics.describe(plan.temp.name) is not None:
        raise RefusedError(f"topic {plan.temp.name} is there already", "start again: the next run has another name")
    run.standing.noted = True
    cluster.commit(plan.names.work_group, plan.settings.topic, {0: (plan.start[0], drains_note(plan.settings.group))})
    run.doors.topics.make(plan.temp)
    # Two drains of one group that began in the same moment see each other here at the latest.
    refuse_second_run(plan.settings, run.doors, plan.names.run)
    run.standing.temp_topic_id = cluster.topic_id(plan.temp.name)


def take_back(run: Run) -> None:
    """Removes what was made, while nothing was forwarded: the temp topic is empty, and the groups say nothing."""
    names = run.plan.names
    if not run.standing.noted:
        return
    if run.doors.topics.describe(names.temp_topic) is not None:
        run.doors.cluster.delete_topic(run.doors.cluster.topic_id(names.temp_topic))
    for group in (names.forward_group, names.work_group):
        run.doors.groups.delete(group)
    run.standing.temp_topic_id, run.standing.noted = None, False


def commit_the_start(run: Run) -> None:
    """Start offsets and zero sums for both groups of the run: nothing begins at a default."""
    plan, cluster = run.plan, run.doors.cluster
    topic_id = _temp_topic_id(run)
    first = cluster.offsets(plan.temp.name, "earliest")
    cluster.commit(
        plan.names.forward_group,
        plan.settings.topic,
        {partition: (offset, zero_note(topic_id)) for partition, offset in plan.start.items()},
    )
    cluster.commit(
        plan.names.work_group,
        plan.temp.name,
        {target: (first[target], zero_note(plan.names.run)) for target in range(plan.temp.partitions)},
    )


@contextmanager
def lanes_and_workers(run: Run) -> Iterator[None]:
    """Lanes and workers at work; whatever happens inside, both are stopped cleanly at the end."""
    plan, doors = run.plan, run.doors
    run.pause(0)
    run.step("drain", f"{len(plan.start)} lanes, {plan.settings.workers} workers")
    order = WorkOrder(settings=plan.settings, names=plan.names, allotments=plan.allotments)
    lanes, workers = Lanes(doors.forwarder(_forward_settings(run))), doors.workers(order)
    run.lanes, run.workers = lanes, workers
    try:
        workers.start()
        run.standing.forwarded = True
        lanes.start()
        yield
    except BaseException as error:
        _stop_both(lanes, workers, error)
        raise
    finally:
        run.lanes = run.workers = None
    run.restarts = workers.restarts()


def follow_until_caught_up(run: Run, marks: FinishedMarks) -> None:
    """Every few seconds: the finished marks, the old group moved up to them, and a look at what is left."""
    judge_readings = CaughtUp(run.plan.settings.cutover_s, run.elapsed_s)
    near = False
    while not near:
        run.pause(run.plan.settings.round_s)
        try:
            run.old_group.move_up_to(marks.read())
            near = _look(run, marks.marks, judge_readings)
        except UnreachableError as error:
            logger.warning("this round is left out: %s", error)


def cut(run: Run) -> dict[int, int]:
    """Ends every lane for good; F, the first offset of each source partition that was not forwarded."""
    names, cluster = run.plan.names, run.doors.cluster
    run.step("cut", "stop the lanes, fence them, read where they stand")
    if run.lanes is not None:
        lanes, run.lanes = run.lanes, None
        lanes.finish()
    for partition in run.plan.start:
        # Once this answers, no transaction of the lane is open, its markers are written, and no zombie can write.
        run.patiently(lambda p=partition: cluster.take_over(names.transactional_id(p)))  # type: ignore[misc]
    notes = run.patiently(lambda: lane_notes(cluster, names, _temp_topic_id(run)))
    return {partition: offset for partition, (offset, _) in notes.items()}


def wait_until_finished(run: Run, marks: FinishedMarks, cut_at: Mapping[int, int]) -> None:
    """Until the finished mark of every source partition is its cut; then the workers stop."""
    run.step("finish", "wait until everything that was forwarded is finished")
    judge_readings = CaughtUp(run.plan.settings.cutover_s, run.elapsed_s)
    while marks.marks != cut_at:
        run.pause(min(run.plan.settings.round_s, 0.5))
        try:
            run.old_group.move_up_to(marks.read())
            _look(run, marks.marks, judge_readings)
        except UnreachableError as error:
            logger.warning("this round is left out: %s", error)
    if run.workers is not None:
        workers, run.workers = run.workers, None
        workers.stop()


def prove(run: Run) -> list[Witness]:
    """The conservation proof. A mismatch is a ProofError, and nothing is deleted."""
    plan, cluster = run.plan, run.doors.cluster
    run.step("prove", "compare what was carried, what was handled and what the source holds")
    heard = run.patiently(lambda: testify(cluster, plan.names, plan.start, plan.allotments))
    witnesses = [
        # A compacted source may have dropped records since they were carried: it cannot be a witness.
        one if plan.compacted else _with_source(run, one)
        for one in heard
    ]
    judge(plan.settings.topic, witnesses)
    return witnesses


def hand_back(run: Run, cut_at: Mapping[int, int]) -> None:
    """The old group's offsets become the cut, and are read back.

    Source partitions added meanwhile were not carried: the group gets their start, where a `latest` consumer
    would skip what they hold.
    """
    plan, cluster = run.plan, run.doors.cluster
    run.step("hand back", f"group {plan.settings.group} to the cut")
    again = run.patiently(lambda: lane_notes(cluster, plan.names, _temp_topic_id(run)))
    moved = {p: (offset, cut_at[p]) for p, (offset, _) in again.items() if offset != cut_at[p]}
    if moved:
        raise ProofError(f"the forward group moved after the cut: {moved}", MOVED)
    home = dict(cut_at)
    if cluster.partitions(plan.settings.topic) > len(home):
        first = cluster.offsets(plan.settings.topic, "earliest")
        home |= {p: offset for p, offset in first.items() if p not in home and p not in run.standing.written}
    run.patiently(lambda: run.old_group.move_up_to(home))
    run.patiently(run.old_group.require_untouched)
    run.standing.home = True


def clear(run: Run) -> None:
    """Deletes the temp topic by its id, then the run's groups. What cannot be deleted is named, and harms nobody."""
    plan = run.plan
    run.step("clear", f"delete {plan.temp.name}")
    run.patiently(lambda: run.doors.cluster.delete_topic(_temp_topic_id(run)))
    run.standing.temp_topic_id = None
    for group in (plan.names.forward_group, plan.names.work_group):
        try:
            run.doors.groups.delete(group)
        except (BrokerError, UnreachableError) as error:
            run.standing.trouble.append(f"group {group} is left, and expires by itself: {error}")


def _stop_both(lanes: Lanes, workers: Workers, error: BaseException) -> None:
    """Stops lanes and workers after `error`; what goes wrong on the way is added to it, and hides it from nobody."""
    for stop in (lanes.stop, workers.stop):
        try:
            stop()
        except FanoutError as also:
            error.add_note(f"then, while stopping: {also}")


def _forward_settings(run: Run) -> ForwardSettings:
    plan = run.plan
    return ForwardSettings(
        properties=dict(plan.settings.clients.of("core", "forward")),
        source=plan.settings.topic,
        target=plan.temp.name,
        group=plan.names.forward_group,
        transactional_prefix=plan.names.transactional_prefix,
        partitions=tuple(sorted(plan.start)),
        start={},
        end=None,
        route=plan.settings.route,
        partitioner="xxh3",
        allotments=plan.allotments,
        origin="run",
        compression="same",
    )


def _temp_topic_id(run: Run) -> str:
    if run.standing.temp_topic_id is None:
        raise RuntimeError("the temp topic is used before it is made")
    return run.standing.temp_topic_id


def _with_source(run: Run, heard: Witness) -> Witness:
    topic, cluster = run.plan.settings.topic, run.doors.cluster
    counted = run.patiently(lambda: count_source(cluster, topic, heard.partition, heard.start, heard.end))
    return replace(heard, source=counted)


def _look(run: Run, marks: Mapping[int, int], judge_readings: CaughtUp) -> bool:
    """Takes a reading, tells it, and says whether it is time to cut."""
    plan, cluster = run.plan, run.doors.cluster
    stable = cluster.offsets(plan.settings.topic, "stable")
    notes = worker_notes(cluster, plan.names)
    handled = {
        partition: Tally.total(notes[t][1].tally + notes[t][1].dead for t in targets if t in notes).count
        for partition, targets in plan.allotments.items()
    }
    left = {partition: max(0, stable[partition] - mark) for partition, mark in marks.items()}
    reading = Reading(at_s=run.elapsed_s, left=left, finished=handled)
    near = judge_readings.add(reading)
    if run.lanes is not None:
        run.forwarded = run.lanes.forwarded()
    run.progress.live(
        Live(
            elapsed_s=reading.at_s,
            forwarded=run.forwarded,
            finished=sum(handled.values()),
            dead=sum(note.dead.count for _, note in notes.values()),
            total=sum(max(0, stable[p] - first) for p, first in plan.start.items()),
            left=left,
            marks=dict(marks),
            rate=judge_readings.recent_rate,
            eta_s=judge_readings.eta_s(reading),
            parked=run.parked,
        )
    )
    return near
