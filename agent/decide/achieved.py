"""The rate of false alarms that a machine really has: counted over the hours watched, with its confidence interval, beside the budget."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import msgspec

from agent.decide.alarm import MODEL, Change, Transition
from agent.decide.isa18 import Action, State
from agent.decide.likeness import Judgement
from agent.decide.past import MOST_REMEMBERED
from agent.snapshots import read_snapshot
from agent.types import NANOSECONDS

_HIDDEN = frozenset({State.SHELVED, State.SUPPRESSED, State.OUT_OF_SERVICE})
_NS_PER_HOUR = 3_600 * NANOSECONDS
_OUTSIDE, _NORMAL = 0.025, 1.959964  # on either side of a 95 % interval
_EXACT_UP_TO = 100


class Achieved(msgspec.Struct, frozen=True, kw_only=True):
    """False alarms of the model while it watched; `rate_per_hour` lies between `low_per_hour` and `high_per_hour` with 95 % confidence.

    An alarm counts as false, with all of its raisings, until an operator says that it was a true one; of several verdicts the latest counts.
    `hours` are those of windows that could be judged while no alarm of the model stood or was hidden. Rules count for nothing here, for they
    have no budget.
    """

    budget_per_hour: float
    hours: float
    raised: int
    confirmed_true: int  # of those raised
    confirmed_false: int
    rate_per_hour: float | None  # None before the first hour's worth of windows
    low_per_hour: float
    high_per_hour: float | None
    verdict: Literal["kept", "unsure", "exceeded"]  # "unsure" while the budget lies within the interval


class _Counted(msgspec.Struct, frozen=True, array_like=True):
    """One alarm: how often it was raised, and what it was found to be."""

    raisings: int
    verdict: Judgement | None = None


class _Memory(msgspec.Struct, kw_only=True):
    version: Literal[1] = 1
    judged_by: str
    watched_ns: int = 0
    raised: int = 0
    confirmed_true: int = 0
    confirmed_false: int = 0
    alarms: dict[str, _Counted] = {}  # by id, oldest first: as many as operators are asked about


class FalseAlarms:
    """Counts of one machine's model; `judged_by` names what it is judged by, for another model has another rate."""

    def __init__(self, budget_per_hour: float, hop_ns: int, judged_by: str) -> None:
        """`hop_ns` is the event time that one window adds."""
        self._budget_per_hour = budget_per_hour
        self._hop_ns = hop_ns
        self._memory = _Memory(judged_by=judged_by)

    def watched(self) -> None:
        """Count a window in which a false alarm could have been raised."""
        self._memory.watched_ns += self._hop_ns

    def take(self, change: Change) -> None:
        """Count what a step of the model's point brought about; other points' are passed over."""
        for transition in change.transitions:
            if transition.point != MODEL or transition.alarm is None:
                continue
            known = self._memory.alarms.get(transition.alarm, _Counted(0))
            if _comes_to_light(transition, change):
                self._memory.raised += 1
                self._note(transition.alarm, known, _Counted(known.raisings + 1, known.verdict))
            elif transition.verdict is not None and known.raisings:
                self._note(transition.alarm, known, _Counted(known.raisings, transition.verdict))

    def _note(self, alarm: str, before: _Counted, after: _Counted) -> None:
        memory = self._memory
        memory.confirmed_true += _found(after, "true") - _found(before, "true")
        memory.confirmed_false += _found(after, "false") - _found(before, "false")
        memory.alarms[alarm] = after
        if len(memory.alarms) > MOST_REMEMBERED:
            del memory.alarms[next(iter(memory.alarms))]

    def report(self) -> Achieved:
        """How it stands."""
        memory = self._memory
        hours = memory.watched_ns / _NS_PER_HOUR
        false = memory.raised - memory.confirmed_true
        low, high = poisson_interval(false)
        low_per_hour, high_per_hour = (low / hours, high / hours) if hours else (0.0, None)
        return Achieved(
            budget_per_hour=self._budget_per_hour,
            hours=hours,
            raised=memory.raised,
            confirmed_true=memory.confirmed_true,
            confirmed_false=memory.confirmed_false,
            rate_per_hour=false / hours if hours else None,
            low_per_hour=low_per_hour,
            high_per_hour=high_per_hour,
            verdict=_verdict(self._budget_per_hour, low_per_hour, high_per_hour),
        )

    def snapshot(self) -> bytes:
        """Everything that must outlive a restart."""
        return msgspec.json.encode(self._memory)

    def restore(self, snapshot: bytes) -> None:
        """Go on from `snapshot`, or anew where it is of another model; raises ValueError, and changes nothing, where it is damaged."""
        memory = read_snapshot(snapshot, _Memory, "the count of false alarms")
        if memory.judged_by == self._memory.judged_by:
            self._memory = memory


def _found(alarm: _Counted, what: Judgement) -> int:
    """Its raisings, where it was found to be that."""
    return alarm.raisings if alarm.verdict == what else 0


def _comes_to_light(transition: Transition, change: Change) -> bool:
    """Whether an operator is shown a raising: at once, or when an alarm that was hidden from its beginning is in the open."""
    if transition.action is Action.RAISE:
        return transition.after not in _HIDDEN
    return change.event is not None and change.event.type == "new"


def _verdict(budget: float, low: float, high: float | None) -> Literal["kept", "unsure", "exceeded"]:
    if low > budget:
        return "exceeded"
    return "kept" if high is not None and high <= budget else "unsure"


@lru_cache(maxsize=1_024)
def poisson_interval(count: int) -> tuple[float, float]:
    """The 95 % interval of a Poisson mean of which `count` events were seen: exact (Garwood 1936), above 100 by Wilson and Hilferty (1931)."""
    if count > _EXACT_UP_TO:
        return _half_chi_square(2 * count, -_NORMAL), _half_chi_square(2 * count + 2, _NORMAL)
    high = _mean_where(lambda mean: _at_most(count, mean) <= _OUTSIDE)
    low = _mean_where(lambda mean: 1 - _at_most(count - 1, mean) >= _OUTSIDE) if count else 0.0
    return low, high


def _at_most(count: int, mean: float) -> float:
    """How likely a Poisson variable of this mean is `count` or less."""
    term = total = math.exp(-mean)
    for each in range(1, count + 1):
        term *= mean / each
        total += term
    return total


def _mean_where(reached: Callable[[float], bool]) -> float:
    """The least mean at which a condition holds that holds for all greater ones."""
    low, high = 0.0, 2.0 * _EXACT_UP_TO
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def _half_chi_square(degrees: int, normal: float) -> float:
    spread = 2 / (9 * degrees)
    return degrees * (1 - spread + normal * math.sqrt(spread)) ** 3 / 2
