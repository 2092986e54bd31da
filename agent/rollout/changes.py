"""What can be done about the bundles of a running agent: proved first, then on disk, then in the pipeline, and told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from agent.bundles import slots as steps
from agent.bundles.report import BundleReport, report_of
from agent.bundles.slots import Slots, Stored
from agent.bundles.store import Store, for_slots
from agent.config.candidate import Prover, check_exchange
from agent.errors import BundleError, InferenceError
from agent.infer.bundle import Bundle
from agent.rollout.fleet import Fleet
from agent.rollout.telling import Teller
from agent.trust.memory import Memory
from agent.upstream.documents import SecurityEvent, reference_of

log = logging.getLogger(__name__)

Result = TypeVar("Result")
_REFUSED = "what ran goes on; have the bundle signed or exported again, or choose the one for this box"
_MEND = "have its supplier mend it; `stethos bundle activate` runs it nevertheless"


class Refused(NamedTuple):
    """A bundle, or its file, that did not prove itself, and why."""

    told: str
    why: str


class RefusedError(BundleError):
    """A bundle that did not prove itself; it was told of."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Who wants it, for the journal, and who is told how it then stands, once that is on disk; both None where the agent does it by itself."""

    record: Mapping[str, Any] | None = None
    done: Callable[[BundleReport], None] | None = None

    @property
    def by(self) -> str:
        """In words."""
        return "by itself" if self.record is None else f"by {self.record['by']}"


class Changes:
    """One thread's own. Every change raises BundleError or InferenceError, and leaves what ran running, where it cannot be."""

    def __init__(self, store: Store, prover: Prover, fleet: Fleet, teller: Teller) -> None:
        self.refused: Refused | None = None  # the latest; until one is taken
        self._store = store
        self._prover = prover
        self._fleet = fleet
        self._teller = teller

    @property
    def max_bytes(self) -> int:
        """That a bundle may have."""
        return self._prover.trust.max_bytes

    def install(self, data: bytes, told: str, asking: Asking, *, by_hand: bool) -> str:
        """Keep a bundle in the free slot; returns its name. The first of a name is active at once. `told` says where it came from."""
        bundle = self._proved(told, asking, lambda: self._installable(data, by_hand=by_hand))
        name = bundle.manifest.name
        after = self._store.put(name, stored_of(bundle), data)
        if after.active is None:
            self._store.save(steps.activated(after, by_hand=True))
        self.refused = None
        self._tell(SecurityEvent.INSTALLED, bundle, f"it was installed {asking.by}, from {told}", asking)
        return name

    def activate(self, name: str, asking: Asking, *, by_hand: bool) -> None:
        """Run the other bundle, on probation."""
        before = self._store.slots(name)
        after = steps.activated(before, by_hand=by_hand)
        bundle = self._opened(before, asking)
        self._switch(before, steps.counted(after) if self._fleet.watched_by(name) else after, bundle, asking)
        trial = "on probation" if after.on_probation else "with nothing to go back to"
        self._tell(SecurityEvent.ACTIVATED, bundle, f"it runs {trial}, activated {asking.by}", asking)

    def go_back(self, name: str, why: str, asking: Asking) -> None:
        """Run the earlier bundle again, and bar the one that ran."""
        before = self._store.slots(name)
        after = steps.returned(before, why)
        failed = before.running
        bundle = self._opened(before, asking)
        if asking.record is not None:  # only somebody's word lets the box forget the newer release
            self._store.remember(self._store.memory().returned(bundle.manifest))
        self._switch(before, after, bundle, asking)
        version = "" if failed is None else failed.version
        event = SecurityEvent.RETURNED if asking.record is None else SecurityEvent.ROLLED_BACK
        what = f"it runs again, gone back to from {version} {asking.by}: {why}"
        self._tell(event, bundle, what, asking, _MEND if asking.record is None else "")

    def confirm(self, name: str, asking: Asking) -> None:
        """End a probation well: no older release is taken from now on."""
        slots = self._store.slots(name)
        if not slots.on_probation:
            raise BundleError(f"no bundle '{name}' is on probation or in the shadow: there is nothing to promote")
        self._store.save(steps.confirmed(slots))
        bundle = next(machine.bundle for machine in self._fleet.watched_by(name))
        self._store.remember(self._store.memory().ran(bundle.manifest))
        self._tell(SecurityEvent.CONFIRMED, bundle, f"its probation is over, {asking.by}: it runs for good", asking)

    def shadow(self, name: str, asking: Asking, begin: Callable[[Bundle], None]) -> None:
        """Have the other bundle compared with the one that runs; `begin` loads it and begins."""
        before = self._store.slots(name)
        after = steps.shadowed(before, by_hand=True)
        machines = self._fleet.watched_by(name)
        if not machines:
            raise BundleError(f"no machine is watched by '{name}': there is nothing to compare it with")
        bundle = self._opened(before, asking)
        self._proved(_told(bundle), asking, lambda: check_comparable(machines[0].bundle, bundle))
        self._store.save(steps.counted(after))
        try:
            self._proved(_told(bundle), asking, lambda: begin(bundle))
        except BundleError:
            self._store.save(before)
            raise
        self._tell(SecurityEvent.SHADOWED, bundle, f"it is compared with the bundle that runs, {asking.by}", asking)

    def unshadow(self, name: str, why: str | None, asking: Asking) -> None:
        """Note that the comparison is over; `why` it failed, which bars the candidate, or None."""
        before = self._store.slots(name)
        self._store.save(steps.unshadowed(before, why))
        version = "" if before.other is None else f" {before.other.version}"
        what = f"{name}{version}: the comparison is over, {asking.by}" + (f": {why}" if why else "")
        self._teller.tell(SecurityEvent.UNSHADOWED, what, record=asking.record, answer=self._answer(name, asking))

    def note_what_runs(self) -> None:
        """Bundles that run, and are not on probation, are what no older release may follow; nor any other root the one that was taken."""
        before: Memory = self._store.memory()
        memory = before
        chain = self._prover.trust.chain
        if chain is not None:
            memory = memory.rotated(chain)
        for machine in self._fleet.machines.values():
            name = machine.config.bundle
            if machine.stands_in_for is None and not (
                name in self._fleet.names and self._store.slots(name).on_probation
            ):
                memory = memory.ran(machine.bundle.manifest)
        self._store.remember(memory)
        if chain is not None and before.root is not None and before.root != memory.root:
            self._teller.tell(SecurityEvent.ROOT_ROTATED, f"{chain.newest.words} says now which keys sign bundles")

    def note_stand_in(self, name: str) -> None:
        """Where the earlier bundle was loaded at the start, since the active one could not run, it is the active one from now on."""
        stands_in = next(
            (machine for machine in self._fleet.watched_by(name) if machine.stands_in_for is not None), None
        )
        slots = self._store.slots(name)
        # This thread may begin more than once in a run.
        if stands_in is None or stands_in.stands_in_for is None or slots.last_good is None or slots.running is None:
            return
        if slots.running.digest == stands_in.bundle.digest:
            return
        self._store.save(steps.returned(slots, stands_in.stands_in_for))
        what = f"it runs, gone back to from {slots.running.version} at the start: {stands_in.stands_in_for}"
        self._tell(SecurityEvent.RETURNED, stands_in.bundle, what, Asking(), _MEND)

    def tell_untold(self) -> None:
        """What happened while no agent ran."""
        untold = self._store.untold()
        for each in untold:
            record = None if each.by is None else {"by": each.by, "over": "command line"}
            self._teller.tell(SecurityEvent(each.event), each.what, _MEND if record is None else "", record=record)
        if untold:
            self._store.note([])

    def tell_refused(self, told: str, why: str) -> None:
        """A file that was no use, though nothing was wrong with it as a bundle."""
        self.refused = Refused(told, why)
        self._teller.tell(SecurityEvent.REFUSED, f"{told}: {why}", _REFUSED)

    def tell_stranded(self, name: str, why: str) -> None:
        """A bundle that should be gone back from, and cannot."""
        self._teller.tell(SecurityEvent.STRANDED, f"{name}: {why}", "install a sound bundle and activate it")

    def flush(self) -> None:
        """What the outbox did not take before."""
        self._teller.flush()

    def other(self, name: str) -> Bundle:
        """The bundle beside the one that runs, verified anew."""
        return self._opened(self._store.slots(name), Asking())

    def _installable(self, data: bytes, *, by_hand: bool) -> Bundle:
        bundle = self._prover.admitted(data, self._store.memory()).bundle
        name = bundle.manifest.name
        slots = self._store.slots(name)
        if not by_hand and bundle.digest in slots.barred:
            raise BundleError(f"version {bundle.manifest.version} is barred: {slots.barred[bundle.digest]}")
        steps.filled(steps.emptied(slots), stored_of(bundle))
        for machine in self._fleet.watched_by(name):
            self._prover.check_fit(machine, bundle)
        self._prover.load(bundle).close()
        return bundle

    def _opened(self, slots: Slots, asking: Asking) -> Bundle:
        """What lies in the free slot, verified anew."""
        other = "" if slots.other is None else f" {slots.other.version}"

        def opened() -> Bundle:
            memory = for_slots(self._store.memory())
            return self._prover.admitted(self._store.data(slots, slots.free), memory).bundle

        return self._proved(f"{slots.name}{other}", asking, opened)

    def _switch(self, before: Slots, after: Slots, bundle: Bundle, asking: Asking) -> None:
        """On disk first, so that whatever ends the agent next is held against the right bundle."""
        machines = self._fleet.watched_by(after.name)
        if not machines:
            self._store.save(after)
            return
        check_exchange(machines[0].bundle.manifest.contract, bundle.manifest.contract)
        session = self._proved(_told(bundle), asking, lambda: self._prover.load(bundle))
        try:
            successors = [self._prover.fitted(machine, bundle, session) for machine in machines]
            self._store.save(after)
            try:
                self._fleet.exchange(successors)
            except BundleError:
                self._store.save(before)
                raise
        except BundleError:
            session.close()
            raise

    def _proved(self, told: str, asking: Asking, prove: Callable[[], Result]) -> Result:
        """The result of `prove`; a bundle that fails there is told of."""
        try:
            return prove()
        except (BundleError, InferenceError) as error:
            self.refused = Refused(told, str(error))
            self._teller.tell(SecurityEvent.REFUSED, f"{told}: {error}", _REFUSED, record=asking.record)
            raise RefusedError(str(error)) from error

    def _tell(self, event: SecurityEvent, bundle: Bundle, what: str, asking: Asking, remedy: str = "") -> None:
        told = f"{_told(bundle)}: {what}"
        answer = self._answer(bundle.manifest.name, asking)
        self._teller.tell(event, told, remedy, bundle=reference_of(bundle), record=asking.record, answer=answer)

    def _answer(self, name: str, asking: Asking) -> Callable[[], None] | None:
        done = asking.done
        if done is None:
            return None
        report = report_of(self._store.slots(name), [machine.id for machine in self._fleet.watched_by(name)])
        return lambda: done(report)


def stored_of(bundle: Bundle) -> Stored:
    """As the store notes it."""
    return Stored(digest=bundle.digest, version=bundle.manifest.version, counter=bundle.manifest.counter)


def check_comparable(incumbent: Bundle, candidate: Bundle) -> None:
    """Raises BundleError where the two do not judge the same windows."""
    mine, other = incumbent.manifest.contract, candidate.manifest.contract
    check_exchange(mine, other)
    if mine != other:
        raise BundleError(
            "its windows are others than those of the bundle that runs, so that the two cannot be compared window by window: "
            "activate it, and its probation watches over it"
        )


def _told(bundle: Bundle) -> str:
    return f"{bundle.manifest.name} {bundle.manifest.version}"
