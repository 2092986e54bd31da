"""What a soak came to: findings with their bounds, as a table, as JSON, and as figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.figures import Figure, significant
from tests.soak.fleet import NODES, OUTBOX_BYTES, SPEED
from tests.soak.ledger import Match, holes, lost, match
from tests.soak.plan import Kind
from tests.soak.run import Outcome
from tests.soak.watch import Reading, Usage, usage

# Allocators, caches and what is remembered of past alarms fill up for a while behind a start.
_WARM_S = 120.0
_LAST_S = 2.0  # before the devices leave
# What fills up after that, in MiB: over a longer watch the same amount is a smaller slope, so the bound shrinks with the length of the run.
_RSS_SETTLES_MIB = 8.0
# One connection to the control socket, and one of the network's that is between two states.
_FDS_MAY_GROW = 2
_THREADS_MAY_GROW = 1
# The outbox's cap, its write-ahead log and ballast, its journal of this run, and the pages that SQLite keeps free.
_STATE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the report; `passed` is None where nothing is asked of it."""

    name: str
    value: float
    unit: str
    against: str
    goal: str | None
    passed: bool | None


def findings(outcome: Outcome) -> list[Finding]:
    """All of them, in the order of the report."""
    # What a full disk took out of the journal before it was read was raised all the same, where it arrived.
    raised = {*outcome.audit.raised, *outcome.received.raised.values()}
    matched = match(outcome.faults, outcome.outages, raised, _leads(outcome))
    warm_from_s = outcome.plan.long_life_from_s + _warm_s(outcome)
    used = usage(outcome.readings, warm_from_s, outcome.plan.seconds - _LAST_S)
    return [*_alarms(outcome, matched), *_books(outcome), *_resources(outcome, used)]


def _alarms(outcome: Outcome, matched: Match) -> Iterator[Finding]:
    received, raised = outcome.received, {each.alarm for each in outcome.audit.raised}
    never = lost(outcome.audit.raised, received)
    what = f"of {len(raised)} alarms that the journal says were raised nothing ever came: {_some(never)}"
    yield Finding("soak.lost", len(never), "alarms", what, "0", not never)
    missing, told = [*never, *holes(received)], received.reported_lost["alarm"]
    what = f"{len(missing)} events of alarms never came, and gap records tell of {told}: {_some(missing)}"
    beyond = max(0, len(missing) - told)
    yield Finding("soak.unreported", beyond, "events", what, "0", beyond == 0)
    what = f"{len(outcome.faults)} machine faults, {matched.must} in plain sight and {matched.hidden} behind an outage"
    yield Finding("soak.raised", len(raised), "alarms", what, None, None)
    what = f"faults in plain sight that raised no alarm: {_some([str(fault) for fault in matched.missed])}"
    yield Finding("soak.missed", len(matched.missed), "faults", what, "0", not matched.missed)
    what = f"alarms where no machine failed: {_some([each.alarm for each in matched.unexpected])}"
    yield Finding("soak.unexpected", len(matched.unexpected), "alarms", what, None, None)
    what = "alarms that a consumer with a session at the upstream broker has"
    yield Finding("soak.received", len(received.revisions), "alarms", what, None, None)
    wrong = received.contradictions
    what = f"of {received.messages} alarm messages; under another key or with other bytes: {_some(wrong)}"
    yield Finding("soak.duplicates", received.duplicates, "messages", what, "one key each", not wrong)


def _books(outcome: Outcome) -> Iterator[Finding]:
    received = outcome.received
    told, dropped = received.reported_lost, received.dropped
    what = f"{len(received.gaps)} gap records tell of {dict(told)}; the outbox's books say {dropped} over {len(received.health)} runs"
    yield Finding("soak.gaps", told.total(), "messages", what, "each loss reported", told.total() >= dropped)
    what = f"health documents whose books do not add up, by stage: {dict(received.unaccounted)}"
    off = received.unaccounted.total()
    yield Finding("soak.unaccounted", off, "documents", what, "0", off == 0)
    audit = outcome.audit
    what = f"{audit.unread} given up on the full disk before they were read, chain {audit.broken or 'whole'}"
    yield Finding("soak.journal", audit.records, "records", what, "whole", audit.broken is None)
    what = f"the most that waited, by stage: {dict(received.most_held)}; at the end {'nothing' if outcome.drained else 'something still'}"
    yield Finding(
        "soak.held", received.most_held["outbox"], "messages", what, "nothing at the end, within 60 s", outcome.drained
    )
    mib = outcome.state_bytes / 2**20
    what = f"the most that the state folder took; the outbox's cap is {OUTBOX_BYTES / 2**20:g} MiB"
    yield Finding(
        "soak.state",
        significant(mib),
        "MiB",
        what,
        f"<= {_STATE_BYTES / 2**20:g}",
        outcome.state_bytes <= _STATE_BYTES,
    )
    odd = [status for status in outcome.exits if status != 0]
    what = f"of {len(outcome.exits)} stops by SIGTERM; starts took up to {max(outcome.starts_s, default=0):.1f} s"
    yield Finding("soak.exits", len(odd), "not 0", what, "0", not odd)
    what = f"requests over MQTT of {outcome.asked}: {dict(outcome.answered)}; those asked while the link was down have none"
    yield Finding("soak.answered", outcome.answered.total(), "answers", what, None, None)


def _resources(outcome: Outcome, used: Usage) -> Iterator[Finding]:
    bound = _RSS_SETTLES_MIB / (used.watched_s / 3_600)
    what = f"median of the slopes of all pairs, the last {used.watched_s:.0f} s of one life; at most {used.most_rss_mib:.0f} MiB"
    goal = f"<= {bound:.3g}: {_RSS_SETTLES_MIB:g} MiB in the time watched"
    yield Finding(
        "soak.rss_slope", significant(used.rss_mib_per_hour), "MiB/h", what, goal, used.rss_mib_per_hour <= bound
    )
    early, end = used.fds
    yield Finding(
        "soak.fds",
        end,
        "at the end",
        f"at most {early} before",
        f"<= {_FDS_MAY_GROW} more",
        end <= early + _FDS_MAY_GROW,
    )
    early, end = used.threads
    grew = end - early
    yield Finding(
        "soak.threads",
        end,
        "at the end",
        f"at most {early} before",
        f"<= {_THREADS_MAY_GROW} more",
        grew <= _THREADS_MAY_GROW,
    )
    what = f"{len(NODES)} devices, those with a clock at {SPEED} times their rate"
    yield Finding("soak.cpu", significant(100 * used.cores), "% of a core", what, None, None)


def table(found: Sequence[Finding], outcome: Outcome) -> str:
    """For people: what was done, then one line a finding."""
    done = ", ".join(f"{count} x {kind}" for kind, count in sorted(outcome.happened.items()))
    marks = {True: "ok", False: "FAILED", None: ""}
    rows = [
        f"{marks[each.passed]:6} {each.name:17} {each.value:>9,g} {each.unit:12} {each.goal or '':38} {each.against}"
        for each in found
    ]
    left_out = [f"left out: {kind}: {why}" for kind, why in outcome.left_out.items()]
    return "\n".join([f"{outcome.plan.seconds / 60:g} minutes: {done}", *left_out, *rows])


def document(found: Sequence[Finding], outcome: Outcome, seed: int) -> dict[str, Any]:
    """For programs."""
    return {
        "seconds": outcome.plan.seconds,
        "seed": seed,
        "happened": dict(sorted(outcome.happened.items())),
        "left_out": dict(outcome.left_out),
        "passed": passed(found),
        "findings": [{name: getattr(each, name) for name in Finding.__slots__} for each in found],
    }


def readings(outcome: Outcome) -> str:
    """Every look at the daemon's process, as CSV."""
    rows = [",".join(str(getattr(reading, name)) for name in Reading.__slots__) for reading in outcome.readings]
    return "\n".join([",".join(Reading.__slots__), *rows, ""])


def figures(found: Sequence[Finding], outcome: Outcome) -> list[Figure]:
    """As docs/figures.json holds them, with how long the run was."""
    over = f"over {outcome.plan.seconds / 60:g} minutes: "
    done = sum(outcome.happened.values()) - outcome.happened[Kind.MACHINE]
    return [
        Figure("soak.faults", done, "faults", f"{over}{len(outcome.happened) - 1} kinds, on {len(NODES)} devices, the links and the box"),
        *(Figure(each.name, each.value, each.unit, over + each.against, each.goal) for each in found),
    ]  # fmt: skip


def passed(found: Sequence[Finding]) -> bool:
    return all(each.passed is not False for each in found)


def _leads(outcome: Outcome) -> dict[str, tuple[int, ...]]:
    """Devices without a clock take the box's, which was set now and then."""
    steps = {round(event.size_s * 1e9) for event in outcome.plan.host if event.kind is Kind.CLOCK_STEP}
    return {node.machine: (0, *sorted(steps)) for node in NODES if not node.stamped}


def _warm_s(outcome: Outcome) -> float:
    life_s = outcome.plan.seconds - outcome.plan.long_life_from_s
    return min(_WARM_S, life_s / 3)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") if names else "none"
