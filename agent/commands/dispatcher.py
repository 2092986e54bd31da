"""Requests of every transport, carried out one by one in the pipeline's thread, and answered once what they changed is on disk."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import msgspec

from agent.clock import Clock
from agent.commands import catalogue
from agent.commands.access import Access
from agent.commands.acts import act_of, place_of
from agent.commands.catalogue import COMMANDS, READING, History, Install, OfBundle, OfConfig, OfMachine
from agent.commands.request import Request, RequestError, Response, fields_of, request_of, transaction_of
from agent.decide.alarm import Act, AlarmState
from agent.decide.isa18 import Action, RefusedError
from agent.decide.journal import entry
from agent.decide.machine_alarms import MachineAlarms
from agent.metrics import Counters
from agent.types import NANOSECONDS, Commit

log = logging.getLogger(__name__)

MAX_WAITING = 64
# Whoever asked has given up by then; an act that comes as a surprise is worse than none.
PATIENCE_NS = 5 * NANOSECONDS
NONCES_STATE = "commands.nonces"


class Plant(Protocol):
    """The pipeline as commands see it."""

    @property
    def alarms(self) -> Mapping[str, MachineAlarms]:
        """By machine."""
        ...

    def act(self, name: str, point: str, action: Action, act: Act, alarm: str | None = None) -> Commit:
        """An operator's act, on one `alarm` where the point has had several; raises RefusedError, and changes nothing, where it makes no sense."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came in. `peer` is the local user, None where it came over the network; `answer` only hands over."""

    name: str
    payload: bytes
    peer: str | None
    answer: Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where answers come from: `history` passes on what it finds later, from another thread, and is False where it cannot."""

    compose: Callable[[str, Response], bytes]
    told: Callable[[AlarmState], Any]  # an alarm as consumers know it
    config: Callable[[], Any]
    health: Callable[[], Any]
    history: Callable[[History, Callable[[Any], None], Callable[[str], None]], bool]
    bundles: Callable[[], Any]
    change_bundle: Callable[[Wish], bool]  # done later, by another thread; False where that has too much to do
    change_config: Callable[[Wish], bool]  # as change_bundle


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants done about a bundle or the configuration; exactly one of `done` and `refuse` is called, once that is known and on disk.

    `record` is for the journal: who asked, how, when.
    """

    command: str
    arguments: OfBundle | Install | OfConfig
    record: Mapping[str, Any]
    done: Callable[[Any], None]
    refuse: Callable[[str], None]


class Dispatcher:
    """`submit` may be called from any thread and never waits; `serve` is the pipeline's.

    counters: requests = ok + refused + passed_on (to the outbox, which holds the journal, or to whoever proves bundles). `busy` counts those that were turned away.
    """

    def __init__(self, plant: Plant, access: Access, sources: Sources, clock: Clock) -> None:
        self.counters = Counters()
        self._plant = plant
        self._access = access
        self._sources = sources
        self._clock = clock
        # Shared, under the lock:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, Asked]] = deque()
        self._busy = 0
        self._closed = False

    @property
    def busy(self) -> int:
        """Requests turned away because too many waited."""
        return self._busy

    def submit(self, asked: Asked) -> None:
        """Take a request in; it is answered at once where too many wait already."""
        with self._lock:
            taken = len(self._waiting) < MAX_WAITING and not self._closed
            if taken:
                self._waiting.append((self._clock.monotonic_ns(), asked))
            else:
                self._busy += 1
        if not taken:
            self._answer(asked, Response(status="error", error="the agent is busy or stopping: try again"))

    def close(self) -> None:
        """Turn away what waits, and what comes."""
        with self._lock:
            self._closed = True
            waiting = [asked for _, asked in self._waiting]
            self._waiting.clear()
        for asked in waiting:
            self._answer(asked, Response(status="error", error="the agent is stopping"))

    def restore(self, state: Mapping[str, bytes]) -> None:
        """Remember which signed requests were taken before the agent stopped."""
        try:
            if NONCES_STATE in state:
                self._access.nonces.restore(state[NONCES_STATE])
        except ValueError as error:
            log.error("signed requests of the last minutes could be taken once more: %s", error)

    def serve(self) -> Commit | None:
        """Carry out the oldest request: what must be durable before its answer goes out; None where none waits."""
        with self._lock:
            if not self._waiting:
                return None
            came_ns, asked = self._waiting.popleft()
        self.counters.add("requests")
        late = self._clock.monotonic_ns() - came_ns > PATIENCE_NS
        return self._serve(asked, late=late)

    def _serve(self, asked: Asked, *, late: bool) -> Commit:
        fields: dict[str, Any] = {}
        key: str | None = None
        try:
            fields = fields_of(asked.payload, asked.name)
            _require_in_time(late=late)
            if asked.peer is None:
                fields, key = self._access.admit(asked.name, asked.payload, self._clock.now_ns())
            elif "by" not in fields and asked.name in COMMANDS and asked.name not in READING:
                fields["by"] = asked.peer
            request = request_of(asked.name, fields)
            if isinstance(request.arguments, catalogue.Act):
                return self._remembering(self._act(request, request.arguments, asked, key), key)
            if isinstance(request.arguments, OfBundle | Install | OfConfig):
                self._wish(request, request.arguments, asked, key)
            else:
                self._read(request, asked)
        except RequestError as error:
            return self._remembering(self._refused(asked, fields, error), key)
        return self._remembering(Commit(), key)

    def _act(self, request: Request, arguments: catalogue.Act, asked: Asked, key: str | None) -> Commit:
        action = request.command.action
        assert action is not None, "what an Act is given to does something"
        now_ns = self._clock.now_ns()
        machine, point = place_of(arguments, self._plant.alarms)
        act = act_of(arguments, asked.peer, now_ns)
        try:
            commit = self._plant.act(machine, point, action, act, arguments.alarm)
        except RefusedError as error:
            raise RequestError(str(error)) from error
        state = self._plant.alarms[machine].points[point].status.state
        data = {"machine": machine, "point": point, "state": state, "until_ns": act.until_ns}
        record = _record(request, asked, key, act.by, now_ns)
        self.counters.add("ok")
        log.info("%s of %s.%s by %s: %s", request.name, machine, point, act.by, act.comment)
        return replace(
            commit,
            journal=(entry("command", record), *commit.journal),
            answers=(*commit.answers, lambda: self._ok(request, asked, data)),
        )

    def _wish(self, request: Request, arguments: OfBundle | Install | OfConfig, asked: Asked, key: str | None) -> None:
        """Passed on: proving a model takes longer than the pipeline may wait."""
        by = arguments.by if asked.peer in (None, arguments.by) else f"{arguments.by} ({asked.peer})"
        record = _record(request, asked, key, by, self._clock.now_ns()) | {"comment": arguments.comment}
        wish = Wish(
            request.name,
            arguments,
            record,
            lambda data: self._ok(request, asked, data),
            lambda why: self._answer(asked, Response(status="error", error=why, transaction=request.transaction)),
        )
        change = self._sources.change_config if isinstance(arguments, OfConfig) else self._sources.change_bundle
        if not change(wish):
            raise RequestError("others are being proved: try again")
        self.counters.add("passed_on")

    def _read(self, request: Request, asked: Asked) -> None:
        if isinstance(request.arguments, History):
            self._pass_on(request, request.arguments, asked)
            return
        data: Any
        if isinstance(request.arguments, OfMachine):
            named = self._named(request.arguments.machine)
            data = self._listed(named) if request.name == "alarms.list" else _past(named)
        elif request.name == "bundle.list":
            data = self._sources.bundles()
        elif request.name == "commands.list":
            local = asked.peer is not None
            data = [catalogue.described(name, allowed=local or self._access.allows(name)) for name in COMMANDS]
        else:
            data = self._sources.config() if request.name == "config.get" else self._sources.health()
        self.counters.add("ok")
        self._ok(request, asked, data)

    def _pass_on(self, request: Request, arguments: History, asked: Asked) -> None:
        def refuse(why: str) -> None:
            self._answer(asked, Response(status="error", error=why, transaction=request.transaction))

        if not self._sources.history(arguments, lambda data: self._ok(request, asked, data), refuse):
            raise RequestError("the agent is busy: try again")
        self.counters.add("passed_on")

    def _named(self, machine: str | None) -> Mapping[str, MachineAlarms]:
        alarms = self._plant.alarms
        if machine is not None and machine not in alarms:
            raise RequestError(f"there is no machine '{machine}'; there are {', '.join(alarms)}")
        return alarms if machine is None else {machine: alarms[machine]}

    def _listed(self, named: Mapping[str, MachineAlarms]) -> dict[str, Any]:
        return {
            "alarms": [self._sources.told(alarm) for each in named.values() for alarm in each.standing],
            "hidden": [
                {"machine": name, **msgspec.structs.asdict(hidden)}
                for name, each in named.items()
                for hidden in each.hidden
            ],
        }

    def _refused(self, asked: Asked, fields: Mapping[str, Any], error: RequestError) -> Commit:
        self.counters.add("refused")
        log.warning("the request %.64r is refused: %s", asked.name, error)
        response = Response(status="error", error=str(error), transaction=transaction_of(dict(fields)))
        return Commit(answers=(lambda: self._answer(asked, response),))

    def _remembering(self, commit: Commit, key: str | None) -> Commit:
        """With the nonce of a signed request, whatever became of it."""
        if key is None:
            return commit
        return replace(commit, state={**commit.state, NONCES_STATE: self._access.nonces.snapshot()})

    def _ok(self, request: Request, asked: Asked, data: Any) -> None:
        self._answer(asked, Response(status="ok", data=data, transaction=request.transaction))

    def _answer(self, asked: Asked, response: Response) -> None:
        asked.answer(self._sources.compose(asked.name, response))


def _past(named: Mapping[str, MachineAlarms]) -> dict[str, Any]:
    """Of each machine the oldest first."""
    past = [
        {"machine": name, **msgspec.structs.asdict(alarm)}
        for name, alarms in named.items()
        for alarm in alarms.past.alarms
    ]
    return {"alarms": past}


def _record(request: Request, asked: Asked, key: str | None, by: str, now_ns: int) -> dict[str, Any]:
    """What the journal keeps of a request that changed something."""
    return {
        "command": request.name,
        "by": by,
        "over": "mqtt" if asked.peer is None else "socket",
        "user": asked.peer,
        "key": key,
        "transaction": None if request.transaction is None else str(request.transaction),
        "time_ns": now_ns,
    }


def _require_in_time(*, late: bool) -> None:
    if late:
        raise RequestError("the agent was busy for too long: nothing was done")
