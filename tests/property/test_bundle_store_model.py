"""The store under power cuts at any step: what runs is always a whole bundle that was meant to, and nothing told as done is lost."""

from __future__ import annotations

import hashlib
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent.bundles import slots as steps
from agent.bundles.folder import FakeFolder, PowerCut
from agent.bundles.slots import Slots, Stored
from agent.bundles.store import Store
from agent.errors import BundleError

NAME = "pump"


def contents(number: int) -> bytes:
    return f"bundle {number}".encode() * 40


def stored(number: int) -> Stored:
    digest = hashlib.sha256(contents(number)).hexdigest()
    return Stored(digest=digest, version=str(number), counter=number)


class StoreMachine(RuleBasedStateMachine):
    """`before` is what the last change that returned left; while a change is cut, what it would have led to is right too."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = FakeFolder()
        self.store = Store(self.folder, FakeFolder())
        self.right: list[Slots] = [Slots(name=NAME)]
        self.number = 0

    def change(self, cut_after: int | None, seed: int, act) -> None:
        """Carry out `act`, with the power cut after so many steps."""
        self.folder.steps_left = cut_after
        try:
            act()
        except BundleError:
            pass  # refused: nothing changes
        except PowerCut:
            self.folder.power_cut(Random(seed))
            self.store.run_begun(1_000_000)  # as a start does
        self.folder.steps_left = None
        self.seen = self.store.slots(NAME)

    cuts = st.one_of(st.none(), st.integers(0, 20))
    seeds = st.integers(0, 10_000)

    @initialize()
    def first(self) -> None:
        self.install(None, 0)
        self.store.save(steps.activated(self.store.slots(NAME), by_hand=True))

    @rule(cut=cuts, seed=seeds)
    def install(self, cut: int | None, seed: int) -> None:
        before = self.store.slots(NAME)
        self.number += 1
        self.change(cut, seed, lambda: self.store.put(NAME, stored(self.number), contents(self.number)))
        after = self.store.slots(NAME)
        assert after.active == before.active
        assert after.running == before.running, "an installation changes nothing of what runs"
        if before.on_probation:
            assert after.other == before.other, "what a probation goes back to is not touched"

    @rule(cut=cuts, seed=seeds, by_hand=st.booleans())
    def activate(self, cut: int | None, seed: int, by_hand: bool) -> None:
        self.switch(cut, seed, lambda slots: steps.activated(slots, by_hand=by_hand))

    @rule(cut=cuts, seed=seeds)
    def go_back(self, cut: int | None, seed: int) -> None:
        self.switch(cut, seed, lambda slots: steps.returned(slots, "why"))

    @rule(cut=cuts, seed=seeds)
    def confirm(self, cut: int | None, seed: int) -> None:
        self.switch(cut, seed, steps.confirmed)

    @rule(cut=cuts, seed=seeds)
    def shadow(self, cut: int | None, seed: int) -> None:
        self.switch(cut, seed, lambda slots: steps.shadowed(slots, by_hand=False))

    @rule(cut=cuts, seed=seeds, why=st.one_of(st.none(), st.just("why")))
    def unshadow(self, cut: int | None, seed: int, why: str | None) -> None:
        self.switch(cut, seed, lambda slots: steps.unshadowed(slots, why))

    @rule(clean=st.booleans())
    def restart(self, clean: bool) -> None:
        if clean:
            self.store.run_ended()
        self.store.run_begun(3)

    def switch(self, cut: int | None, seed: int, step) -> None:
        before = self.store.slots(NAME)
        try:
            after = step(before)
        except BundleError:
            return
        self.change(cut, seed, lambda: self.store.save(after))
        found = self.store.slots(NAME)
        # A start that follows a cut counts itself; nothing else may differ.
        assert without_count(found) in (without_count(before), without_count(after))
        if cut is None:
            assert found == after, "what was told as done is done"

    @invariant()
    def whatever_is_noted_is_there_whole(self) -> None:
        slots = self.store.slots(NAME)
        for letter in slots.slots:
            assert hashlib.sha256(self.store.data(slots, letter)).hexdigest() == slots.slots[letter].digest

    @invariant()
    def something_runs_and_a_probation_has_something_to_go_back_to(self) -> None:
        slots = self.store.slots(NAME)
        if self.number:
            assert slots.running is not None or self.number == 1
        if slots.on_probation:
            assert slots.last_good is not None
        if slots.in_shadow:
            assert slots.other is not None
            assert slots.running is not None

    @invariant()
    def what_is_barred_runs_only_if_somebody_wanted_it(self) -> None:
        slots = self.store.slots(NAME)
        if slots.running is not None:
            assert slots.running.digest not in slots.barred

    @invariant()
    def nothing_piles_up(self) -> None:
        assert len(self.folder.names()) <= 6  # two bundles; the record and what is still to be told, each with its copy


def without_count(slots: Slots):
    return slots.name, slots.slots, slots.active, slots.trial and slots.trial.kind, slots.barred


StoreMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None, derandomize=True)
test_the_store_survives_power_cuts = StoreMachine.TestCase
