"""What the box keeps of a bundle and what is tried with it, as health, `bundle.list` and the command line tell it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from agent.bundles.comparison import Compared
from agent.bundles.probation import Seen
from agent.bundles.slots import Slots, Stored, TrialKind
from agent.types import NANOSECONDS


class KeptBundle(msgspec.Struct, frozen=True, kw_only=True):
    """One bundle in a slot. `proven`: it has run and was good. `barred`: why it runs no more unless somebody activates it by hand."""

    version: str
    counter: int
    sha256: str
    proven: bool
    barred: str | None


class ProbationReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a newcomer has done so far, in this run of the agent."""

    ran_s: float
    windows: int
    alarms: int
    failures: int
    latency_ms: float | None


class BundleReport(msgspec.Struct, frozen=True, kw_only=True):
    """The bundles of one name. `unmet` says what speaks against promoting a candidate by itself; empty where that is not wanted."""

    name: str
    running: KeptBundle | None
    other: KeptBundle | None
    trial: TrialKind | None
    begun: int  # runs of the agent that began with what is tried, and have not ended well
    machines: list[str]
    probation: ProbationReport | None = None
    compared: Compared | None = None
    unmet: list[str] = []


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """All bundles by name, and the files that lie aside in the inbox."""

    bundles: dict[str, BundleReport]
    refused: list[str]


def report_of(
    slots: Slots,
    machines: Sequence[str],
    *,
    seen: Seen | None = None,
    compared: Compared | None = None,
    unmet: Sequence[str] = (),
) -> BundleReport:
    """The report; what is not given is not known, as while no agent runs."""
    return BundleReport(
        name=slots.name,
        running=_kept(slots, slots.running),
        other=_kept(slots, slots.other),
        trial=None if slots.trial is None else slots.trial.kind,
        begun=0 if slots.trial is None else slots.trial.begun,
        machines=list(machines),
        probation=None if seen is None else _probation(seen),
        compared=compared,
        unmet=list(unmet),
    )


def _kept(slots: Slots, stored: Stored | None) -> KeptBundle | None:
    if stored is None:
        return None
    return KeptBundle(
        version=stored.version,
        counter=stored.counter,
        sha256=stored.digest,
        proven=stored.proven,
        barred=slots.barred.get(stored.digest),
    )


def _probation(seen: Seen) -> ProbationReport:
    return ProbationReport(
        ran_s=seen.ran_ns / NANOSECONDS,
        windows=seen.windows,
        alarms=seen.alarms,
        failures=seen.failures,
        latency_ms=seen.latency_ms,
    )
