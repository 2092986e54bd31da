"""The books of a soak: what was to be raised, what the journal says was raised, what a consumer received, and what of it is missing."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

# Behind a line that came back: the longest wait for the next try (10 s, to a broker or a silent slave), and a window of its samples.
HEAL_S = 20.0
# From a fault's last sample to the journal: the window that holds it, and what the daemon takes.
SEEN_S = 5.0
_WINDOWS_NS = 7_000_000_000  # from the last sample of a fault to the end of the last window that holds some of it


class Raised(NamedTuple):
    """An alarm that was raised, as the journal or a message of it says; `time_ns` is event time."""

    machine: str
    alarm: str
    time_ns: int


class Fault(NamedTuple):
    """A machine that really failed: by the run's clock, and in event time."""

    machine: str
    start_s: float
    end_s: float
    first_ns: int
    last_ns: int


class Outage(NamedTuple):
    """When nobody could see what went on: at one machine, or at all of them (None)."""

    start_s: float
    end_s: float
    machine: str | None = None


@dataclass
class Received:
    """What a consumer has in hand; told every message as it arrives, it keeps only what the verdict needs."""

    messages: int = 0
    duplicates: int = 0
    contradictions: list[str] = field(default_factory=list)
    revisions: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))  # by alarm
    raised: dict[str, Raised] = field(default_factory=dict)  # by alarm
    summaries: int = 0
    health: dict[str, Any] = field(default_factory=dict)  # the newest of each run of the agent, by its boot_id
    unaccounted: Counter[str] = field(default_factory=Counter)  # by stage, health documents whose books do not add up
    most_held: Counter[str] = field(default_factory=Counter)
    gaps: dict[str, tuple[int, dict[str, int]]] = field(default_factory=dict)  # by id, the latest revision's counts
    _digests: dict[str, bytes] = field(default_factory=dict)  # of alarm messages, by key
    _keys: dict[tuple[str, int], str] = field(default_factory=dict)  # by alarm and revision

    def take(self, topic: str, payload: bytes) -> None:
        """One message of the agent's topics; others are none of this book's."""
        kind = topic.rpartition("/")[2]
        if kind == "alarm":
            self._take_alarm(payload)
        elif kind == "summary":
            self.summaries += 1
        elif kind == "gap":
            gap = json.loads(payload)
            if gap["revision"] >= self.gaps.get(gap["id"], (0, {}))[0]:
                self.gaps[gap["id"]] = gap["revision"], {loss["kind"]: loss["count"] for loss in gap["losses"]}
        elif kind == "health" and "/device/" not in topic:
            self._take_health(json.loads(payload))

    @property
    def reported_lost(self) -> Counter[str]:
        """Messages that gap records own up to, by kind."""
        return sum((Counter(counts) for _, counts in self.gaps.values()), Counter[str]())

    @property
    def dropped(self) -> int:
        """Messages that the agent's own books say were given up, over all of its runs."""
        return sum(health["flow"]["outbox"]["dropped"] for health in self.health.values() if "outbox" in health["flow"])

    def _take_alarm(self, payload: bytes) -> None:
        self.messages += 1
        body = json.loads(payload)
        key, digest = body["key"], hashlib.sha256(payload).digest()
        if key in self._digests:
            self.duplicates += 1
            if self._digests[key] != digest:
                self.contradictions.append(f"two messages have the key {key}")
            return
        place = body["id"], body["revision"]
        if self._keys.setdefault(place, key) != key:
            self.contradictions.append(f"the event {place} came under the keys {self._keys[place]} and {key}")
        self._digests[key] = digest
        self.revisions[body["id"]].add(body["revision"])
        self.raised[body["id"]] = Raised(body["after"]["machine"], body["id"], body["after"]["raised_ns"])

    def _take_health(self, body: dict[str, Any]) -> None:
        newest = self.health.get(body["boot_id"])
        if newest is None or newest["seq"] <= body["seq"]:
            self.health[body["boot_id"]] = body
        for stage, flow in body["flow"].items():
            self.most_held[stage] = max(self.most_held[stage], flow["held"])
            if flow["in"] != flow["out"] + flow["held"] + flow["dropped"]:
                self.unaccounted[stage] += 1


def lost(raised: Iterable[Raised], received: Received) -> list[str]:
    """Alarms that were raised and of which nothing ever came."""
    return sorted({each.alarm for each in raised} - received.revisions.keys())


def holes(received: Received) -> list[str]:
    """Events that never came, of alarms of which a later one did."""
    return [
        f"{alarm}.{number}"
        for alarm, revisions in received.revisions.items()
        for number in range(1, max(revisions))
        if number not in revisions
    ]


class Match(NamedTuple):
    """Faults against alarms."""

    must: int  # faults in plain sight
    missed: list[Fault]  # of these, those that raised nothing
    hidden: int  # faults that something stood in front of
    unexpected: list[Raised]  # alarms where no machine failed


def match(
    faults: Sequence[Fault], outages: Sequence[Outage], raised: Iterable[Raised], leads_ns: Mapping[str, Sequence[int]]
) -> Match:
    """Which alarms had to be raised, and which had not; `leads_ns` are by how much the clock of a machine's times may have been set off."""
    by_machine: defaultdict[str, list[Fault]] = defaultdict(list)
    for fault in faults:
        by_machine[fault.machine].append(fault)
    seen, unexpected = set(), []
    for alarm in raised:
        of = {
            fault
            for fault in by_machine[alarm.machine]
            for lead in leads_ns.get(alarm.machine, (0,))
            if fault.first_ns <= alarm.time_ns - lead <= fault.last_ns + _WINDOWS_NS
        }
        seen |= of
        if not of:
            unexpected.append(alarm)
    plain = [fault for fault in faults if not any(hides(outage, fault) for outage in outages)]
    return Match(len(plain), [fault for fault in plain if fault not in seen], len(faults) - len(plain), unexpected)


def hides(outage: Outage, fault: Fault) -> bool:
    """Whether the alarm may fail to come because of it, or be an earlier one that still stands."""
    concerns = outage.machine in {None, fault.machine}
    return concerns and outage.start_s < fault.end_s + SEEN_S and fault.start_s < outage.end_s + HEAL_S
