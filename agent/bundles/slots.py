"""Which of the two bundles of one name runs, what the other is, and what is being tried: every step between these states. Pure."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from agent.errors import BundleError

Letter = Literal["a", "b"]
TrialKind = Literal["probation", "shadow"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_MOST_BARRED = 16


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle in a slot: `digest` is the SHA-256 of its file; `proven` says that it has run, and was good."""

    digest: str
    version: str
    counter: int
    proven: bool = False


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What is not decided yet. `begun` counts the runs of the agent that began with it and have not ended well."""

    kind: TrialKind
    begun: int = 0


class Slots(msgspec.Struct, frozen=True, kw_only=True):
    """One name's two slots; `active` is the one that runs.

    On probation runs the active one, and the other is what is gone back to. In the shadow runs the other, beside the active one.
    `barred` says why a digest runs no more unless somebody activates it by hand.
    """

    schema: Literal["stethos.slots/1"] = "stethos.slots/1"
    name: str
    slots: dict[Letter, Stored] = {}
    active: Letter | None = None
    trial: Trial | None = None
    barred: dict[str, str] = {}

    @property
    def free(self) -> Letter:
        """The slot that does not run."""
        return "b" if self.active == "a" else "a"

    @property
    def running(self) -> Stored | None:
        """The bundle that runs, or will at the next start."""
        return None if self.active is None else self.slots.get(self.active)

    @property
    def other(self) -> Stored | None:
        """The bundle beside it: a newer one that waits, or an earlier one."""
        return self.slots.get(self.free)

    @property
    def on_probation(self) -> bool:
        """Whether the active one has yet to show that it is good."""
        return self.trial is not None and self.trial.kind == "probation"

    @property
    def in_shadow(self) -> bool:
        """Whether the other one runs beside the active one."""
        return self.trial is not None and self.trial.kind == "shadow"

    @property
    def last_good(self) -> Stored | None:
        """What a machine goes back to where the active one fails."""
        other = self.other
        return other if other is not None and other.proven and other.digest not in self.barred else None


def check_name(name: str) -> None:
    """Raises BundleError where no file can be called so."""
    if not _NAME.fullmatch(name) or name.endswith(".stethos"):
        raise BundleError(
            f"a bundle named '{name[:64]}' cannot be kept: use 1 to 64 of A-Z a-z 0-9 _ . -, a letter or digit first"
        )


def emptied(slots: Slots) -> Slots:
    """The free slot is about to be written over; raises BundleError where it holds what a probation goes back to."""
    if slots.on_probation:
        raise BundleError(
            f"{_told(slots.running)} is on probation and {_told(slots.other)} is kept to go back to: "
            "promote it, roll it back, or wait until its probation is over"
        )
    kept = {letter: stored for letter, stored in slots.slots.items() if letter == slots.active}
    return msgspec.structs.replace(slots, slots=kept, trial=None)


def filled(slots: Slots, stored: Stored) -> Slots:
    """A verified bundle lies in the free slot; raises BundleError where it is the one that runs."""
    if slots.running is not None and slots.running.digest == stored.digest:
        raise BundleError(f"{_told(stored)} is the bundle that runs")
    return msgspec.structs.replace(slots, slots={**slots.slots, slots.free: stored})


def activated(slots: Slots, *, by_hand: bool) -> Slots:
    """The other one runs, on probation where there is one to go back to; raises BundleError where that cannot be."""
    chosen = _candidate(slots, by_hand=by_hand)
    if slots.on_probation:
        raise BundleError(f"{_told(slots.running)} is on probation: `rollback` goes back to {_told(chosen)}")
    fallback = slots.running
    after = msgspec.structs.replace(slots, active=slots.free, barred=_without(slots.barred, chosen.digest), trial=None)
    if fallback is None:
        return confirmed(after)
    # What ran until now without complaint is good, even if it came into its slot by other ways than a probation.
    known = {**after.slots, after.free: msgspec.structs.replace(fallback, proven=True)}
    return msgspec.structs.replace(after, slots=known, trial=Trial(kind="probation"))


def confirmed(slots: Slots) -> Slots:
    """The active one is good, and may be gone back to one day."""
    if slots.active is None or slots.running is None:
        raise BundleError(f"no bundle '{slots.name}' is active")
    good = msgspec.structs.replace(slots.running, proven=True)
    return msgspec.structs.replace(slots, slots={**slots.slots, slots.active: good}, trial=None)


def returned(slots: Slots, why: str) -> Slots:
    """The last good one runs again, and the one that ran is barred; raises BundleError where there is none to go back to."""
    if slots.running is None or slots.last_good is None:
        raise BundleError(f"there is no earlier bundle '{slots.name}' to go back to")
    after = msgspec.structs.replace(slots, active=slots.free, trial=None)
    return _barred(after, slots.running.digest, why)


def shadowed(slots: Slots, *, by_hand: bool) -> Slots:
    """The other one runs beside the active one; raises BundleError where that cannot be."""
    _candidate(slots, by_hand=by_hand)
    if slots.running is None:
        raise BundleError(f"no bundle '{slots.name}' is active to be compared with: activate it")
    if slots.on_probation:
        raise BundleError(f"{_told(slots.running)} is on probation: nothing is tried beside it")
    return msgspec.structs.replace(slots, trial=Trial(kind="shadow"))


def unshadowed(slots: Slots, why: str | None) -> Slots:
    """The comparison is over; `why` it failed, which bars the candidate, or None."""
    if not slots.in_shadow:
        raise BundleError(f"no bundle '{slots.name}' is in the shadow")
    after = msgspec.structs.replace(slots, trial=None)
    return after if why is None or slots.other is None else _barred(after, slots.other.digest, why)


def run_begun(slots: Slots, most: int) -> tuple[Slots, str | None]:
    """The agent starts: count it against what is tried, and why that is given up where `most` runs have ended badly before."""
    trial = slots.trial
    if trial is None or trial.begun < most:
        return counted(slots), None
    why = f"the agent ended without a stop {trial.begun} times while it was tried"
    return (returned if trial.kind == "probation" else unshadowed)(slots, why), why


def counted(slots: Slots) -> Slots:
    """What is tried begins to run: if the agent ends without a stop, that counts against it."""
    trial = slots.trial
    if trial is None:
        return slots
    return msgspec.structs.replace(slots, trial=msgspec.structs.replace(trial, begun=trial.begun + 1))


def run_ended(slots: Slots) -> Slots:
    """The agent ends in good order: this run counts for nothing."""
    trial = slots.trial
    if trial is None or trial.begun == 0:
        return slots
    return msgspec.structs.replace(slots, trial=msgspec.structs.replace(trial, begun=trial.begun - 1))


def _candidate(slots: Slots, *, by_hand: bool) -> Stored:
    if slots.other is None:
        raise BundleError(f"there is no other bundle '{slots.name}': install one first")
    if not by_hand and slots.other.digest in slots.barred:
        raise BundleError(
            f"{_told(slots.other)} is barred: {slots.barred[slots.other.digest]}; "
            "`stethos bundle activate` runs it nevertheless"
        )
    return slots.other


def _barred(slots: Slots, digest: str, why: str) -> Slots:
    barred = [*_without(slots.barred, digest).items(), (digest, why)]
    return msgspec.structs.replace(slots, barred=dict(barred[-_MOST_BARRED:]))


def _without(barred: dict[str, str], digest: str) -> dict[str, str]:
    return {known: why for known, why in barred.items() if known != digest}


def _told(stored: Stored | None) -> str:
    return "nothing" if stored is None else f"version {stored.version}"
