"""What the eviction policy promises, for any rows and any excess."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.outbox.policy import EVICTION_ORDER, Candidate, choose_victims, extend_gap
from agent.types import Kind

candidates = st.lists(
    st.builds(
        Candidate,
        id=st.integers(1, 10**6),
        kind=st.sampled_from(Kind),
        created_ns=st.integers(0, 2**62),
        size_bytes=st.integers(1, 5000),
    ),
    max_size=40,
)


def in_eviction_order(rows: list[Candidate]) -> list[Candidate]:
    return sorted(rows, key=lambda row: (EVICTION_ORDER.index(row.kind), row.id))


def test_summaries_go_before_security_events_before_gap_records_before_alarms() -> None:
    assert EVICTION_ORDER == (Kind.SUMMARY, Kind.SECURITY, Kind.GAP, Kind.ALARM)


@given(candidates, st.integers(-10, 100_000))
def test_just_enough_is_freed_and_all_only_when_nothing_less_would_do(rows: list[Candidate], excess: int) -> None:
    rows = in_eviction_order(rows)
    victims = choose_victims(rows, excess)
    freed = sum(victim.size_bytes for victim in victims)
    assert victims == rows[: len(victims)]
    assert freed >= excess or victims == rows
    if victims:
        assert freed - victims[-1].size_bytes < excess


@given(candidates, st.integers(1, 100_000))
def test_an_alarm_goes_only_when_nothing_else_is_left(rows: list[Candidate], excess: int) -> None:
    rows = in_eviction_order(rows)
    victims = choose_victims(rows, excess)
    if any(victim.kind is Kind.ALARM for victim in victims):
        assert all(row in victims for row in rows if row.kind is not Kind.ALARM)


@given(candidates, candidates)
def test_a_gap_counts_every_victim_once_however_the_losses_were_split(
    first: list[Candidate], second: list[Candidate]
) -> None:
    in_two = extend_gap(extend_gap(None, first, "gap-1"), second, "gap-2")
    at_once = extend_gap(None, [*first, *second], "gap-1")
    assert in_two.losses == at_once.losses
    assert in_two.id == "gap-1"
    assert (at_once.revision, in_two.revision) == (1, 2)
    assert in_two.key != at_once.key
    for loss in in_two.losses:
        times = [row.created_ns for row in [*first, *second] if row.kind.name.lower() == loss.kind]
        assert (loss.count, loss.first_created_ns, loss.last_created_ns) == (len(times), min(times), max(times))


@given(st.lists(candidates, max_size=30))
def test_a_gap_never_grows_beyond_one_entry_a_kind(losses: list[list[Candidate]]) -> None:
    gap = None
    for victims in losses:
        gap = extend_gap(gap, victims, "gap-1")
    assert gap is None or len(gap.losses) <= len(Kind)
