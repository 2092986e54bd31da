"""What the eviction policy promises, for any rows and any excess."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agent.outbox.policy import EVICTION_ORDER, Candidate, Gap, Loss, choose_victims, extend_gap, row_bytes
from agent.types import Kind, Message

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


def test_a_row_counts_its_text_in_bytes_its_key_twice_and_a_share_of_the_file() -> None:
    message = Message("kä", Kind.ALARM, "tö", b"12345", 0)
    assert row_bytes(message) == 5 + 3 + 2 * 3 + 128


def test_a_loss_names_its_kind_its_count_and_its_times() -> None:
    gap = extend_gap(
        None,
        [Candidate(1, Kind.SUMMARY, 7, 10), Candidate(2, Kind.ALARM, 5, 10), Candidate(3, Kind.SUMMARY, 3, 10)],
        "gap-1",
    )
    assert gap == Gap("gap-1", 1, (Loss("alarm", 1, 5, 5), Loss("summary", 2, 3, 7)))
    assert gap.key == "gap-1/1"


@given(candidates, st.integers(-10, 100_000))
@example([Candidate(1, Kind.SUMMARY, 0, 1), Candidate(2, Kind.SUMMARY, 0, 1)], 1)
@example([Candidate(1, Kind.SUMMARY, 0, 1)], 0)
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


class PolicyAgainstModel(RuleBasedStateMachine):
    """A cap kept by the policy alone, on a list in memory: every row is held, delivered, or counted in a gap once and for all."""

    CAP_BYTES = 10_000

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Candidate] = []
        self.gap: Gap | None = None
        self.entered = dict.fromkeys((Kind.ALARM, Kind.SUMMARY), 0)
        self.gone = dict.fromkeys((Kind.ALARM, Kind.SUMMARY), 0)  # delivered, or told of by a gap that was delivered

    @rule(
        kind=st.sampled_from([Kind.ALARM, Kind.SUMMARY]), size_bytes=st.integers(1, 6000), created_ns=st.integers(0, 99)
    )
    def enter(self, kind: Kind, size_bytes: int, created_ns: int) -> None:
        self.rows.append(Candidate(sum(self.entered.values()), kind, created_ns, size_bytes))
        self.entered[kind] += 1
        excess = self.held_bytes() - self.CAP_BYTES
        victims = choose_victims(in_eviction_order(self.rows), excess)
        assert bool(victims) == (excess > 0)
        if not victims:
            return
        left = [row for row in self.rows if row not in victims]
        if any(victim.kind is Kind.ALARM for victim in victims):
            assert all(row.kind is Kind.ALARM for row in left)
        assert self.held_bytes() - sum(victim.size_bytes for victim in victims[:-1]) > self.CAP_BYTES
        earlier, self.rows = self.gap, left
        self.gap = extend_gap(earlier, victims, f"gap-{sum(self.entered.values())}")
        assert earlier is None or (self.gap.id, self.gap.revision) == (earlier.id, earlier.revision + 1)

    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        if self.rows:
            row = data.draw(st.sampled_from(self.rows))
            self.rows.remove(row)
            self.gone[row.kind] += 1

    @rule()
    def deliver_the_gap(self) -> None:
        for loss in self.gap.losses if self.gap else ():
            self.gone[Kind[loss.kind.upper()]] += loss.count
        self.gap = None

    def held_bytes(self) -> int:
        return sum(row.size_bytes for row in self.rows)

    @invariant()
    def the_cap_holds_and_every_row_is_accounted_for(self) -> None:
        assert self.held_bytes() <= self.CAP_BYTES
        told = {Kind[loss.kind.upper()]: loss.count for loss in self.gap.losses} if self.gap else {}
        for kind, entered in self.entered.items():
            held = sum(row.kind is kind for row in self.rows)
            assert entered == held + self.gone[kind] + told.get(kind, 0)


PolicyAgainstModel.TestCase.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
TestPolicyAgainstModel = PolicyAgainstModel.TestCase
