"""The thread that has the bundles: carries out what is asked, looks into the inbox, and decides about what is tried."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from agent.bundles.inbox import Inbox
from agent.bundles.probation import Failed
from agent.bundles.report import BundleReport, Kept, report_of
from agent.bundles.store import Store
from agent.bundles.twice import DAMAGED
from agent.commands.catalogue import Install, OfBundle
from agent.commands.catalogue import Shadow as ShadowArguments
from agent.commands.dispatcher import Wish
from agent.errors import BundleError, InferenceError
from agent.health import Reason
from agent.rollout.changes import Asking, Changes, RefusedError
from agent.rollout.fleet import Fleet
from agent.rollout.offline import read_bundle
from agent.rollout.trials import Trials
from agent.rollout.wishes import Wishes
from agent.sensors.faults import State

log = logging.getLogger(__name__)

_ITSELF = Asking()


@dataclass(frozen=True, slots=True)
class Status:
    """How it stands with the bundles; replaced as a whole. `refused` are files that lie aside in the inbox."""

    bundles: Mapping[str, BundleReport] = field(default_factory=dict)
    refused: Sequence[str] = ()
    reasons: Sequence[Reason] = ()


class Rollout:
    """`run` is a thread's body; `wishes`, `told` and `status` are for any thread."""

    def __init__(
        self,
        store: Store,
        fleet: Fleet,
        changes: Changes,
        trials: Trials,
        *,
        inbox: Inbox | None,
        arrival: Literal["install", "shadow", "activate"],
    ) -> None:
        self.status = Status()
        self.wishes = Wishes()
        self._store = store
        self._fleet = fleet
        self._changes = changes
        self._trials = trials
        self._inbox = inbox
        self._arrival = arrival
        self._stranded: dict[str, str] = {}  # by name, why the bundle should be gone back from, and cannot

    def told(self) -> Kept:
        """How it stands, as `bundle.list` answers it."""
        status = self.status
        return Kept(bundles=dict(status.bundles), refused=list(status.refused))

    def run(self, stop: threading.Event) -> None:
        """Go on with what was tried before, then work until `stop`; raises BundleError where the disk fails."""
        self._begin()
        try:
            while not stop.is_set():
                self._turn()
        finally:
            self._trials.end_all()
            self.wishes.refuse_all("the agent is stopping")

    def _begin(self) -> None:
        self._changes.tell_untold()
        for name in self._fleet.names:
            self._changes.note_stand_in(name)
            slots = self._store.slots(name)
            if slots.on_probation:
                self._trials.watch(name)
            elif slots.in_shadow:
                self._compare_again(name)
        self._changes.note_what_runs()
        for file, why in [] if self._inbox is None else self._inbox.begin():
            self._changes.tell_refused(file, why)
        self._show()

    def _compare_again(self, name: str) -> None:
        try:
            self._trials.compare(name, self._changes.other(name))
        except (BundleError, InferenceError) as error:
            self._changes.unshadow(name, str(error), _ITSELF)

    def _turn(self) -> None:
        wish = self.wishes.next()
        if wish is not None:
            self._grant(wish)
        self._changes.flush()
        if self._inbox is not None:
            self._look_into(self._inbox)
        for name in self._trials.on_probation:
            self._look_at_probation(name)
        if self._trials.in_shadow is not None:
            self._look_at_candidate(self._trials.in_shadow)
        self._show()

    def _grant(self, wish: Wish) -> None:
        asking = Asking(wish.record, wish.done)
        try:
            if isinstance(wish.arguments, Install):
                data = read_bundle(Path(wish.arguments.file), self._changes.max_bytes)
                self._install(data, wish.arguments.file, asking, by_hand=True)
            else:
                assert isinstance(wish.arguments, OfBundle), "wishes about the configuration go elsewhere"
                self._act(wish.command, wish.arguments, asking)
        except (BundleError, InferenceError) as error:
            wish.refuse(str(error))

    def _act(self, command: str, arguments: OfBundle, asking: Asking) -> None:
        name = arguments.bundle
        if command == "bundle.rollback":
            self._go_back(name, arguments.comment or f"rolled back {asking.by}", asking)
        elif command == "bundle.promote" and not self._store.slots(name).in_shadow:
            self._changes.confirm(name, asking)
            self._trials.end(name)
        elif isinstance(arguments, ShadowArguments) and arguments.stop:
            self._changes.unshadow(name, None, asking)
            self._trials.end(name)
        elif isinstance(arguments, ShadowArguments):
            self._shadow(name, asking)
        else:
            self._activate(name, asking, by_hand=True)

    def _install(self, data: bytes, told: str, asking: Asking, *, by_hand: bool) -> str:
        name = self._changes.install(data, told, asking, by_hand=by_hand)
        self._trials.end(name)  # a candidate that was compared is no more
        return name

    def _activate(self, name: str, asking: Asking, *, by_hand: bool) -> None:
        self._changes.activate(name, asking, by_hand=by_hand)
        self._trials.end(name)
        self._stranded.pop(name, None)
        if self._fleet.watched_by(name) and self._store.slots(name).on_probation:
            self._trials.watch(name)

    def _go_back(self, name: str, why: str, asking: Asking) -> None:
        self._changes.go_back(name, why, asking)
        self._trials.end(name)
        self._stranded.pop(name, None)

    def _shadow(self, name: str, asking: Asking) -> None:
        self._trials.check_free(name)
        self._changes.shadow(name, asking, lambda candidate: self._trials.compare(name, candidate))

    def _look_into(self, inbox: Inbox) -> None:
        """One file a turn, so that wishes do not wait behind many."""
        file = inbox.poll()
        if file is None:
            return
        try:
            name = self._install(inbox.read(file), file, _ITSELF, by_hand=False)
            first = self._store.slots(name).other is None
            if self._arrival == "activate" and not first:
                self._activate(name, _ITSELF, by_hand=False)
            elif self._arrival == "shadow" and not first:
                self._shadow(name, _ITSELF)
        except (BundleError, InferenceError) as error:
            inbox.refuse(file, str(error))
            if not isinstance(error, RefusedError):
                self._changes.tell_refused(file, str(error))
        else:
            inbox.done(file)

    def _look_at_probation(self, name: str) -> None:
        found = self._trials.judged(name)
        if found == "good":
            self._changes.confirm(name, _ITSELF)
            self._trials.end(name)
        elif isinstance(found, Failed):
            try:
                self._go_back(name, found.why, _ITSELF)
            except (BundleError, InferenceError) as error:
                # It goes on, watched no more: what failed now fails each second.
                self._trials.end(name)
                self._stranded[name] = f"{found.why}; but {error}"
                self._changes.tell_stranded(name, self._stranded[name])

    def _look_at_candidate(self, name: str) -> None:
        found = self._trials.judged(name)
        try:
            if found == "good":
                self._activate(name, _ITSELF, by_hand=False)
            elif isinstance(found, Failed):
                self._changes.unshadow(name, found.why, _ITSELF)
                self._trials.end(name)
        except (BundleError, InferenceError) as error:
            self._changes.unshadow(name, str(error), _ITSELF)
            self._trials.end(name)

    def _show(self) -> None:
        bundles, unreadable = {}, {}
        for name in self._store.names():
            machines = [machine.id for machine in self._fleet.watched_by(name)]
            try:
                slots = self._store.slots(name)
            except BundleError as error:
                unreadable[name] = str(error)
                continue
            bundles[name] = report_of(
                slots,
                machines,
                seen=self._trials.seen(name),
                compared=self._trials.compared(name),
                unmet=self._trials.unmet(name),
            )
        refused = [] if self._inbox is None else self._inbox.refused()
        reasons = [*self._reasons(bundles, refused), *_damage(unreadable, self._store.damaged())]
        self.status = Status(bundles, refused, reasons)

    def _reasons(self, bundles: Mapping[str, BundleReport], refused: Sequence[str]) -> Iterator[Reason]:
        for file in refused:
            remedy = f"read {file}.refused beside it in the inbox, and remove both"
            yield Reason(State.MAINTENANCE_REQUIRED, "inbox", f"the bundle {file} was refused", remedy)
        if self._changes.refused is not None and self._changes.refused.told not in refused:
            told, why = self._changes.refused
            remedy = "have it signed or exported again, or choose the one for this box; what ran goes on"
            yield Reason(State.MAINTENANCE_REQUIRED, "bundles", f"{told} was refused: {why}", remedy)
        for name, found in bundles.items():
            if found.other is not None and found.other.barred is not None:
                what = f"version {found.other.version} does not run: {found.other.barred}"
                remedy = "have its supplier mend it, or `stethos bundle activate` it nevertheless"
                yield Reason(State.MAINTENANCE_REQUIRED, f"bundle {name}", what, remedy)
        for name, why in self._stranded.items():
            remedy = "install a sound bundle and activate it"
            yield Reason(State.OUT_OF_SPECIFICATION, f"bundle {name}", f"it should be gone back from: {why}", remedy)


def _damage(unreadable: Mapping[str, str], set_aside: Sequence[str]) -> Iterator[Reason]:
    """Records of the store that are of no use, and files of the state folder that were mended at a start."""
    for name, why in unreadable.items():
        remedy = f"remove {name}.json from the store and install the bundle again"
        yield Reason(State.MAINTENANCE_REQUIRED, f"bundle {name}", why, remedy)
    for file in set_aside:
        what = (
            f"{file} was damaged, and lies aside as {file}{DAMAGED}; its copy, or one that begins anew, took its place"
        )
        yield Reason(State.MAINTENANCE_REQUIRED, "state", what, f"check the disk (dmesg), then remove {file}{DAMAGED}")
