"""All alarm points of one machine: its model's and its rules', stepped together, listed together, remembered together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import msgspec

from agent.decide.alarm import MODEL, NOBODY, NOTHING, Act, AlarmState, Change, Reading, Transition
from agent.decide.annunciator import Annunciator
from agent.decide.condition import Finding
from agent.decide.explanation import Explanation
from agent.decide.isa18 import Action, RefusedError, State
from agent.decide.lasting import Evidence, Likelihood
from agent.decide.past import PastAlarms
from agent.decide.point import AlarmPoint, Explain, Sight
from agent.decide.rules import Rule
from agent.errors import UNREADABLE
from agent.types import Verdict, Window

_LEAST_RATE = 1e-300  # an hour; so that the strangeness of "never" is a number


class Hidden(msgspec.Struct, frozen=True, kw_only=True):
    """A point that somebody hid, or a condition, with or without an alarm behind it."""

    point: str
    state: State
    override: Act


@dataclass(frozen=True, slots=True)
class RulePoint:
    """A rule, its point, and how its channels are shown beside its alarm."""

    rule: Rule
    point: AlarmPoint
    explain: Callable[[Window], Explanation]


@dataclass(frozen=True, slots=True)
class Suppression:
    """A condition by design: what it says and whether it holds at a window's end."""

    text: str
    holds: Callable[[Window], bool | None]


class _Memory(msgspec.Struct, kw_only=True):
    version: Literal[2] = 2
    points: dict[str, msgspec.Raw]
    past: msgspec.Raw = msgspec.Raw(b"[]")


class MachineAlarms:
    """The points by name, the model's first; `clear_factor` is the model's hysteresis.

    With `evidence` the budget is shared: a window alone may raise half of the false alarms, lasting evidence the other half.
    """

    def __init__(
        self,
        model: AlarmPoint,
        clear_factor: float,
        evidence: Evidence | None = None,
        rules: Sequence[RulePoint] = (),
        suppressions: Mapping[str, Suppression] = MappingProxyType({}),
    ) -> None:
        """`suppressions` are conditions by the points that they suppress while they hold."""
        self._points = {point.rules.point: point for point in (model, *(rule.point for rule in rules))}
        self._clear_factor = clear_factor
        self._evidence = evidence
        self._rules = rules
        self._suppressions = suppressions
        self._held: set[str] = set()  # points whose condition held at the latest window
        self._flood: Callable[[], bool] = lambda: False
        self.past = PastAlarms()

    def join(self, annunciator: Annunciator, machine: str, group: str | None) -> None:
        """Share the flood and the first-out with the alarms of other machines."""
        annunciator.join(machine, group, self)
        self._flood = lambda: annunciator.load.flood
        for point in self._points.values():
            point.annunciator = annunciator

    @property
    def points(self) -> Mapping[str, AlarmPoint]:
        """All points by name."""
        return self._points

    @property
    def standing(self) -> list[AlarmState]:
        """The alarms that stand now, in the order of their raising: the first is the first out."""
        found = [point.standing for point in self._points.values() if point.standing is not None]
        return sorted(found, key=lambda alarm: alarm.raised_ns)

    @property
    def hidden(self) -> list[Hidden]:
        """The points that are shelved, suppressed or out of service."""
        return [
            Hidden(point=name, state=point.status.state, override=point.override)
            for name, point in self._points.items()
            if point.override is not None
        ]

    def judge(self, verdict: Verdict, likelihood: Likelihood, explain: Explain) -> list[Change]:
        """Take one verdict of the model, with how likely it is in normal operation, to its point, and its window to the rules."""
        window = verdict.window
        changes = list(self._suppress(window)) if self._suppressions else []
        changes.append(self._step(self._points[MODEL], self._sight(verdict, likelihood), explain))
        for rule in self._rules:
            changes.append(self._step(rule.point, rule.rule.look(window), lambda: rule.explain(window)))  # noqa: B023 - called at once; most machines have no rule
        return [change for change in changes if change is not NOTHING]

    def _step(self, point: AlarmPoint, sight: Sight, explain: Explain) -> Change:
        def recalled() -> Explanation:
            return self.past.beside(point.rules.point, point.standing, explain())

        return self._followed(point, point.step(sight, recalled))

    def _followed(self, point: AlarmPoint, change: Change) -> Change:
        if change is not NOTHING:
            self.past.take(change, point.standing)
        return change

    def _suppress(self, window: Window) -> Iterator[Change]:
        for name, suppression in self._suppressions.items():
            point, held = self._points[name], suppression.holds(window)
            if held is None:
                continue
            self._held = self._held | {name} if held else self._held - {name}
            waits = point.waits_for_flood and self._flood()
            if held is not point.status.suppressed and not waits:
                act = Act(by=NOBODY, comment=suppression.text, time_ns=window.end_ns)
                yield self._followed(point, point.act(Action.SUPPRESS if held else Action.UNSUPPRESS, act))

    def act(self, name: str, action: Action, act: Act, alarm: str | None = None) -> Change:
        """An act on the point `name`; raises isa18.RefusedError where there is none, or where the act makes no sense.

        An alarm that is over can still be judged: `alarm`, or the latest of the point.
        """
        point = self._points.get(name)
        if point is None:
            raise RefusedError(f"there is no alarm point '{name}'; there are {', '.join(self._points)}")
        standing = point.standing
        if action is Action.JUDGE and (standing is None or alarm not in (None, standing.id)):
            return self._followed(point, self._judged(point, act, alarm))
        return self._followed(point, point.act(action, act))

    def _judged(self, point: AlarmPoint, act: Act, alarm: str | None) -> Change:
        """What an operator says of an alarm that is over goes into the journal; nobody else is told, for it has no state any more."""
        rules = point.rules
        past = self.past.latest(rules.point) if alarm is None else self.past.named(alarm)
        if past is None or past.point != rules.point:
            raise RefusedError("no such alarm is remembered: alarms.past says which are")
        transition = Transition(
            machine=rules.machine,
            point=rules.point,
            alarm=past.id,
            action=Action.JUDGE,
            before=State.NORMAL,
            after=State.NORMAL,
            time_ns=act.time_ns,
            by=act.by,
            comment=act.comment,
            verdict=act.verdict,
        )
        return Change(None, (transition,))

    def lift_flood(self, t_ns: int) -> list[Change]:
        """Announce what waited for a flood to pass, but what is suppressed by design too."""
        act = Act(by=NOBODY, comment="the flood is over", time_ns=t_ns)
        waiting = [point for name, point in self._points.items() if point.waits_for_flood and name not in self._held]
        return [self._followed(point, point.act(Action.UNSUPPRESS, act)) for point in waiting]

    def expire(self, now_ns: int) -> list[Change]:
        """End the shelvings whose time is over."""
        changes = (self._followed(point, point.expire(now_ns)) for point in self._points.values())
        return [change for change in changes if change.transitions]

    def snapshot(self) -> bytes:
        """Everything that must outlive a restart."""
        return msgspec.json.encode(
            _Memory(
                points={name: msgspec.Raw(point.snapshot()) for name, point in self._points.items()},
                past=msgspec.Raw(self.past.snapshot()),
            )
        )

    def restore(self, snapshot: bytes) -> list[str]:
        """Go on from `snapshot`; returns what could not be: points whose part is damaged, and alarms of points that are no more."""
        try:
            saved = msgspec.json.decode(snapshot, type=_Memory)
        except UNREADABLE as error:
            return [f"cannot be read: {error}"]
        return [
            *self._restored(saved),
            *(f"there is no point '{name}' any more" for name in saved.points.keys() - self._points),
        ]

    def _restored(self, saved: _Memory) -> Iterable[str]:
        restoring = [(self._points[name].restore, raw) for name, raw in saved.points.items() if name in self._points]
        for restore, raw in [*restoring, (self.past.restore, saved.past)]:
            try:
                restore(bytes(raw))
            except ValueError as error:
                yield str(error)

    def _sight(self, verdict: Verdict, likelihood: Likelihood) -> Sight:
        window = verdict.window
        if verdict.unknown is not None or not math.isfinite(verdict.score + likelihood.per_hour):
            return Sight(window.start_ns, window.end_ns, None, None)
        budget = self._points[MODEL].rules.budget_per_hour or _LEAST_RATE
        rate, basis = self._rate(likelihood, window.end_ns)
        reading = Reading(
            strangeness=math.log10(budget / max(rate, _LEAST_RATE)),
            score=float(verdict.score),
            exceedances_per_hour=rate,
            basis=basis,
        )
        return Sight(window.start_ns, window.end_ns, _finding(rate, budget, self._clear_factor), reading)

    def _rate(self, likelihood: Likelihood, end_ns: int) -> tuple[float, Literal["window", "lasting"]]:
        if self._evidence is None:
            return likelihood.per_hour, "window"
        lasting = self._evidence.step(likelihood.normal_score, end_ns)
        return (2 * lasting, "lasting") if lasting < likelihood.per_hour else (2 * likelihood.per_hour, "window")


def _finding(rate: float, budget: float, clear_factor: float) -> Finding:
    if rate <= budget:
        return "deviating"
    return "normal" if rate > budget * clear_factor else "between"
