"""What can be done about bundles while no agent runs: on disk, for its next start, which tells of it."""

from __future__ import annotations

from pathlib import Path

from agent.bundles import slots as steps
from agent.bundles.slots import Slots
from agent.bundles.store import Store, Untold, for_slots
from agent.config.candidate import Prover
from agent.errors import BundleError
from agent.rollout.changes import stored_of
from agent.upstream.documents import SecurityEvent


class Offline:
    """Whoever holds the store's lock; every change raises BundleError or InferenceError, and changes nothing, where it cannot be."""

    def __init__(self, store: Store, prover: Prover, by: str) -> None:
        self._store = store
        self._prover = prover
        self._by = by

    def install(self, file: Path) -> Slots:
        """Verify a bundle, prove it on this box, and keep it; the first of a name is active at once."""
        data = read_bundle(file, self._prover.trust.max_bytes)
        bundle = self._prover.admitted(data, self._store.memory()).bundle
        steps.filled(steps.emptied(self._store.slots(bundle.manifest.name)), stored_of(bundle))
        self._prover.load(bundle).close()
        after = self._store.put(bundle.manifest.name, stored_of(bundle), data)
        if after.active is None:
            after = steps.activated(after, by_hand=True)
        return self._done(after, SecurityEvent.INSTALLED, f"{bundle.manifest.version} was installed from {file}")

    def activate(self, name: str) -> Slots:
        """The other bundle runs from the next start on, on probation."""
        after = steps.activated(self._store.slots(name), by_hand=True)
        return self._done(after, SecurityEvent.ACTIVATED, f"{_version(after)} runs from this start on")

    def roll_back(self, name: str, why: str) -> Slots:
        """The earlier bundle runs again from the next start on; of a name that is not in the store, any release of its file may run again."""
        before, memory = self._store.slots(name), self._store.memory()
        if before.active is None and memory.highest(name):
            self._store.remember(memory.forgotten(name))
            return self._done(before, SecurityEvent.ROLLED_BACK, f"any release of its file may run again: {why}")
        after = steps.returned(before, why)
        data = self._store.data(before, before.free)
        manifest = self._prover.admitted(data, for_slots(memory)).bundle.manifest
        self._store.remember(memory.returned(manifest))
        return self._done(after, SecurityEvent.ROLLED_BACK, f"{_version(after)} runs again: {why}")

    def shadow(self, name: str, *, stop: bool) -> Slots:
        """The other bundle is compared with the one that runs, from the next start on; or no more."""
        before = self._store.slots(name)
        if stop:
            return self._done(steps.unshadowed(before, None), SecurityEvent.UNSHADOWED, "the comparison is over")
        after = steps.shadowed(before, by_hand=True)
        return self._done(after, SecurityEvent.SHADOWED, "the other bundle is compared from this start on")

    def promote(self, name: str) -> Slots:
        """End a comparison or a probation well."""
        before = self._store.slots(name)
        if before.in_shadow:
            return self.activate(name)
        if not before.on_probation:
            raise BundleError(f"no bundle '{name}' is on probation or in the shadow: there is nothing to promote")
        after = steps.confirmed(before)
        return self._done(after, SecurityEvent.CONFIRMED, f"{_version(after)} runs for good")

    def _done(self, after: Slots, event: SecurityEvent, what: str) -> Slots:
        self._store.note([*self._store.untold(), Untold(event=event.value, what=f"{after.name}: {what}", by=self._by)])
        if after != self._store.slots(after.name):
            self._store.save(after)
        return after


def read_bundle(file: Path, most_bytes: int) -> bytes:
    """A bundle's bytes, one more than it may have where it is longer; raises BundleError."""
    try:
        with file.open("rb") as opened:
            return opened.read(most_bytes + 1)
    except OSError as error:
        raise BundleError(
            f"{file} cannot be read: {error.strerror}; put it where the agent's user may, or into the inbox"
        ) from error


def _version(slots: Slots) -> str:
    return "nothing" if slots.running is None else slots.running.version
