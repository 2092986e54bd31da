"""Two replays compared: alarms are paired by machine and overlap, each once, and the rest is new or gone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.record.compare import Episode, compare


def alarm(raised: int, ended: int | None, machine: str = "pump") -> Episode:
    return Episode(
        machine=machine,
        point="model",
        id=f"{machine}-{raised}",
        raised_ns=raised,
        ended_ns=ended,
        peak_strangeness=1.0,
        channels=[],
    )


def counts(before: list[Episode], after: list[Episode]) -> tuple[int, int, int, int]:
    found = compare(before, after)
    return len(found.new), len(found.gone), len(found.moved), len(found.same)


def test_the_same_alarms_are_no_difference() -> None:
    alarms = [alarm(1, 5), alarm(10, None), alarm(1, 5, "motor")]
    assert counts(alarms, list(reversed(alarms))) == (0, 0, 0, 3)
    assert not compare(alarms, alarms)


def test_an_alarm_without_a_partner_is_new_or_gone() -> None:
    assert counts([], [alarm(1, 5)]) == (1, 0, 0, 0)
    assert counts([alarm(1, 5)], []) == (0, 1, 0, 0)
    assert counts([alarm(1, 5)], [alarm(6, 9)]) == (1, 1, 0, 0)
    assert counts([alarm(1, 5)], [alarm(1, 5, "motor")]) == (1, 1, 0, 0)
    assert compare([], [alarm(1, 5)])


def test_overlapping_alarms_at_other_times_have_moved() -> None:
    assert counts([alarm(1, 5)], [alarm(3, 9)]) == (0, 0, 1, 0)
    assert counts([alarm(1, 5)], [alarm(1, None)]) == (0, 0, 1, 0)
    assert counts([alarm(1, None)], [alarm(4, None)]) == (0, 0, 1, 0)


def test_alarms_that_only_touch_belong_together() -> None:
    assert counts([alarm(1, 5)], [alarm(5, 9)]) == (0, 0, 1, 0)


def test_one_alarm_that_became_two_is_paired_with_the_longer() -> None:
    found = compare([alarm(0, 100)], [alarm(0, 10), alarm(20, 100)])
    assert [pair.after.raised_ns for pair in found.moved] == [20]
    assert [episode.raised_ns for episode in found.new] == [0]


episodes = st.lists(
    st.builds(
        lambda start, length, machine: alarm(start, None if length is None else start + length, machine),
        st.integers(0, 50),
        st.none() | st.integers(0, 20),
        st.sampled_from(["pump", "motor"]),
    ),
    max_size=8,
)


@given(episodes, episodes)
def test_every_alarm_is_accounted_for_once_and_the_comparison_is_symmetric(
    before: list[Episode], after: list[Episode]
) -> None:
    new, gone, moved, same = counts(before, after)
    assert new + moved + same == len(after)
    assert gone + moved + same == len(before)
    assert counts(before, before) == (0, 0, 0, len(before))
    back = compare(after, before)
    assert (len(back.new), len(back.gone)) == (gone, new)
