"""A dispatcher over two real machines' alarms, whose commits are durable when the test says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.bundles.report import Kept
from agent.clock import FakeClock
from agent.commands.access import Access
from agent.commands.catalogue import READING, History
from agent.commands.dispatcher import Asked, Dispatcher, Sources, Wish
from agent.commands.request import Response
from agent.decide.alarm import Act
from agent.decide.isa18 import Action
from agent.decide.journal import entry
from agent.decide.machine_alarms import MachineAlarms
from agent.decide.point import AlarmPoint
from agent.types import Commit
from tests.harness.alarms import point_rules


class TwoMachines:
    """The plant as commands see it."""

    def __init__(self) -> None:
        self.alarms: Mapping[str, MachineAlarms] = {name: _alarms(name) for name in ("pump", "fan")}

    def act(self, name: str, point: str, action: Action, act: Act, alarm: str | None = None) -> Commit:
        change = self.alarms[name].act(point, action, act, alarm)
        snapshot = {f"alarm/{name}": self.alarms[name].snapshot()}
        return Commit(state=snapshot, journal=tuple(entry("transition", each) for each in change.transitions))


def _alarms(name: str) -> MachineAlarms:
    return MachineAlarms(AlarmPoint(point_rules(10**9, machine=name)), 10.0)


class Desk:
    """`ask` is the whole way: submit, serve, make durable; the answers that came are in `answers`."""

    def __init__(self, allowed: Sequence[str] = READING, keys: Sequence[Ed25519PublicKey] = ()) -> None:
        self.clock = FakeClock()
        self.plant = TwoMachines()
        self.answers: list[dict[str, Any]] = []
        self.commits: list[Commit] = []
        self.history: list[History] = []
        self.wishes: list[Wish] = []
        self.access = Access("line-3", allowed, keys)
        sources = Sources(
            compose=lambda command, body: msgspec.json.encode({"command": command, **msgspec.structs.asdict(body)}),
            told=lambda alarm: alarm,
            config=lambda: {"agent": {"id": "line-3"}},
            health=lambda: None,
            history=self._history,
            bundles=lambda: Kept(bundles={}, refused=[]),
            change_bundle=self._change_bundle,
            change_config=self._change_config,
        )
        self.dispatcher = Dispatcher(self.plant, self.access, sources, self.clock)

    def ask(self, name: str, payload: bytes | Mapping[str, Any], peer: str | None = None) -> dict[str, Any]:
        """The answer to one request; it is of the network unless a local `peer` asks."""
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        before = len(self.answers)
        self.dispatcher.submit(Asked(name, data, peer, self.hear))
        self.work()
        assert len(self.answers) == before + 1, "each request has one answer"
        return self.answers[-1]

    def work(self) -> None:
        """Serve everything that waits, and let the disk have it."""
        while (commit := self.dispatcher.serve()) is not None:
            self.commits.append(commit)
            for answer in commit.answers:
                answer()

    def hear(self, data: bytes) -> None:
        body = json.loads(data)
        assert msgspec.convert({k: v for k, v in body.items() if k != "command"}, Response)
        self.answers.append(body)

    def _change_config(self, wish: Wish) -> bool:
        self.wishes.append(wish)
        wish.done({"staged": None})
        return True

    def _change_bundle(self, wish: Wish) -> bool:
        """Three wait at most, until the test grants or refuses them."""
        if len(self.wishes) >= 3:
            return False
        self.wishes.append(wish)
        return True

    def _history(self, query: History, pass_on: Callable[[Any], None], refuse: Callable[[str], None]) -> bool:
        self.history.append(query)
        pass_on({"records": []})
        return True
