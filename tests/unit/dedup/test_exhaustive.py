"""Why it is done as it is: every interleaving of two workers and a few faults, ours and the textbook's."""

from __future__ import annotations

from collections.abc import Iterator

from .exhaustive import Worker, World, exists_is_done, ours, search, set_and_delete


def test_no_interleaving_loses_a_record_or_gets_stuck_and_repeats_have_a_named_cause() -> None:
    found = search(ours, most_faults=3)
    print(f"worlds={found.worlds} lost={len(found.lost)} doubled={len(found.doubled)} stuck={len(found.stuck)}")
    assert found.worlds > 5_000
    assert (found.lost, found.doubled, found.stuck) == ([], [], [])
    assert found.doubled_in_sink == []


def test_set_before_and_delete_after_loses_by_one_crash_and_doubles_by_one_rebalance() -> None:
    found = search(set_and_delete, most_faults=1)
    print(f"worlds={found.worlds} lost={len(found.lost)} doubled={len(found.doubled)}")
    assert any(world.workers[0].life == 1 for world in found.lost)
    assert any(world.holder == 1 for world in found.doubled)


def test_a_key_that_exists_taken_for_done_loses_by_one_crash() -> None:
    found = search(exists_is_done, most_faults=1)
    print(f"worlds={found.worlds} lost={len(found.lost)}")
    assert any(world.workers[0].life == 1 for world in found.lost)


def test_a_busy_record_that_is_settled_instead_of_asked_for_again_is_found() -> None:
    def hasty(world: World, worker: Worker) -> Iterator[World]:
        """Ours, with BUSY read as done."""
        for then in ours(world, worker):
            now = then.workers[worker.name]
            yield then.put(now._replace(at="settle")) if (worker.at, now.at) == ("look", "read") else then

    assert search(hasty, most_faults=2).lost


def test_a_claim_that_is_never_taken_over_is_found() -> None:
    def patient(world: World, worker: Worker) -> Iterator[World]:
        """Ours, with every owner believed to live."""
        for then in ours(world, worker):
            now = then.workers[worker.name]
            yield then.put(now._replace(at="read")) if now.at == "take over" else then

    assert search(patient, most_faults=1).stuck


def test_a_take_over_without_comparing_is_found() -> None:
    def rough(world: World, worker: Worker) -> Iterator[World]:
        """Ours, with whatever holds the key by now overwritten."""
        if worker.at == "take over" and world.kept and world.kept[0] is not None:
            worker = worker._replace(seen=world.kept[0])
        yield from ours(world, worker)

    found = search(rough, most_faults=3)
    assert found.doubled


def test_a_token_that_is_used_again_after_its_claim_was_given_up_is_found() -> None:
    def forgetful(world: World, worker: Worker) -> Iterator[World]:
        """Ours, with the record known by the same number after the partition has come back."""
        for then in ours(world, worker):
            yield then.put(then.workers[worker.name]._replace(reading=1))

    assert search(forgetful, most_faults=3).doubled
