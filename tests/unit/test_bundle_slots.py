"""Two slots of one bundle: what may follow what, and what is never given up."""

from __future__ import annotations

import pytest

from agent.bundles.slots import (
    Slots,
    Stored,
    activated,
    check_name,
    confirmed,
    counted,
    emptied,
    filled,
    returned,
    run_begun,
    run_ended,
    shadowed,
    unshadowed,
)
from agent.errors import BundleError


def stored(number: int) -> Stored:
    return Stored(digest=str(number) * 64, version=f"{number}.0", counter=number)


def with_one() -> Slots:
    """Version 1 runs, and is good."""
    return activated(filled(Slots(name="pump"), stored(1)), by_hand=True)


def with_two() -> Slots:
    """Version 2 waits beside it."""
    slots = with_one()
    return filled(emptied(slots), stored(2))


def on_probation() -> Slots:
    return counted(activated(with_two(), by_hand=True))


def test_the_first_bundle_of_a_name_has_nothing_to_go_back_to_and_is_good_at_once() -> None:
    slots = with_one()
    assert slots.running is not None
    assert (slots.running.version, slots.running.proven, slots.trial) == ("1.0", True, None)
    with pytest.raises(BundleError, match="no earlier bundle"):
        returned(slots, "for fun")


def test_another_is_activated_on_probation_and_the_one_before_is_kept() -> None:
    slots = on_probation()
    assert slots.on_probation
    assert (slots.running.version, slots.running.proven) == ("2.0", False)
    assert (slots.last_good.version, slots.last_good.proven) == ("1.0", True)


def test_nothing_is_written_over_what_a_probation_goes_back_to() -> None:
    with pytest.raises(BundleError, match="on probation"):
        emptied(on_probation())


def test_a_good_end_makes_the_newcomer_what_is_gone_back_to() -> None:
    slots = confirmed(on_probation())
    assert slots.trial is None
    assert slots.running.proven
    assert emptied(slots).other is None, "the one before may give way to the next"


def test_what_was_gone_back_from_is_barred_until_somebody_activates_it() -> None:
    slots = returned(on_probation(), "too many alarms")
    assert (slots.running.version, slots.other.version, slots.trial) == ("1.0", "2.0", None)
    assert slots.barred == {stored(2).digest: "too many alarms"}
    with pytest.raises(BundleError, match="barred: too many alarms"):
        activated(slots, by_hand=False)
    again = activated(slots, by_hand=True)
    assert (again.running.version, again.barred) == ("2.0", {})


def test_going_back_twice_does_not_run_what_was_gone_back_from() -> None:
    slots = returned(confirmed(on_probation()), "rolled back")
    assert slots.other.proven
    with pytest.raises(BundleError, match="no earlier bundle"):
        returned(slots, "rolled back")


def test_on_probation_activate_says_that_rollback_is_meant() -> None:
    with pytest.raises(BundleError, match="`rollback` goes back"):
        activated(on_probation(), by_hand=True)


def test_the_bundle_that_runs_is_not_installed_beside_itself() -> None:
    with pytest.raises(BundleError, match="is the bundle that runs"):
        filled(emptied(with_one()), stored(1))


def test_a_name_without_a_second_bundle_has_nothing_to_activate_or_compare() -> None:
    for step in (activated, shadowed):
        with pytest.raises(BundleError, match="install one first"):
            step(with_one(), by_hand=True)


def test_a_candidate_in_the_shadow_is_ended_barred_or_promoted() -> None:
    slots = shadowed(with_two(), by_hand=True)
    assert slots.in_shadow
    assert slots.running.version == "1.0"
    assert unshadowed(slots, None).barred == {}
    assert unshadowed(slots, "it failed").barred == {stored(2).digest: "it failed"}
    assert activated(slots, by_hand=False).on_probation
    with pytest.raises(BundleError, match="nothing is tried beside it"):
        shadowed(on_probation(), by_hand=True)
    with pytest.raises(BundleError, match="in the shadow"):
        unshadowed(with_two(), None)


def test_three_ends_without_a_stop_are_enough() -> None:
    slots = on_probation()  # its first run began when it was activated
    for _ in range(2):
        slots, why = run_begun(slots, 3)
        assert why is None
    after, why = run_begun(slots, 3)
    assert why == "the agent ended without a stop 3 times while it was tried"
    assert after.running.version == "1.0"
    assert stored(2).digest in after.barred


def test_stops_in_good_order_count_for_nothing() -> None:
    slots = run_ended(on_probation())
    for _ in range(20):
        slots, why = run_begun(slots, 3)
        assert why is None
        slots = run_ended(slots)
    assert slots.on_probation


def test_a_candidate_that_ends_the_agent_is_compared_no_more() -> None:
    slots = shadowed(with_two(), by_hand=True)
    for _ in range(3):
        slots, why = run_begun(slots, 3)
    slots, why = run_begun(slots, 3)
    assert why is not None
    assert (slots.trial, slots.running.version) == (None, "1.0")
    assert stored(2).digest in slots.barred


def test_a_run_with_nothing_on_trial_is_not_counted() -> None:
    assert run_begun(with_two(), 3) == (with_two(), None)
    assert run_ended(with_two()) == with_two()


def test_what_is_barred_is_bounded_and_the_oldest_goes() -> None:
    slots = with_one()
    for number in range(2, 40):
        slots = filled(emptied(slots), Stored(digest=f"{number:064}", version=str(number), counter=number))
        slots = returned(activated(slots, by_hand=True), "no")
    assert list(slots.barred) == [f"{number:064}" for number in range(24, 40)]


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "x" * 65, "a b", "-x", "pump.stethos", "a\n", "ü"])
def test_a_name_that_is_no_files_is_refused(name: str) -> None:
    with pytest.raises(BundleError, match="cannot be kept"):
        check_name(name)
