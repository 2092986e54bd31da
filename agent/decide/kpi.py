"""How heavily alarms load whoever answers them: rate, flood, chattering, stale ones, the mix of priorities (ISA-18.2 clause 16, EEMUA 191)."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from agent.decide.alarm import AlarmState, Priority
from agent.snapshots import read_snapshot
from agent.types import NANOSECONDS

TEN_MINUTES_NS = 600 * NANOSECONDS
_MINUTE_NS = 60 * NANOSECONDS
_HOUR_NS = 3_600 * NANOSECONDS
_DAY_NS = 86_400 * NANOSECONDS
# A flood begins above ten alarms in ten minutes and is over below five.
_FLOOD_ABOVE = 10
_FLOOD_OVER_BELOW = 5
_CHATTER_A_MINUTE = 3
_CHATTER_AN_HOUR = 10
_STALE_NS = _DAY_NS
_MOST_REMEMBERED = 1_000
_MOST_LISTED = 20


class Raised(msgspec.Struct, frozen=True, array_like=True):
    """One raising of an alarm, in event time."""

    t_ns: int
    machine: str
    point: str
    priority: Priority


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """The figures at one moment of event time; JSON-ready. ISA-18.2 aims at one alarm in ten minutes and 80, 15, 5 % of low, medium, high.

    `per_10_min` is the mean over the day before, or over the time since the first alarm where that is shorter, ten minutes at least.
    `chattering` are points (MACHINE.POINT) raised three times in the last minute or ten times in the last hour, `stale` the ids of alarms
    whose machine has deviated for over a day; twenty of each are listed at most.
    """

    standing: int
    raised_10_min: int
    raised_24_h: int
    per_10_min: float
    priorities: dict[str, int]
    chattering: list[str]
    stale: list[str]
    flood: bool
    floods: int
    held_back: int


class _Memory(msgspec.Struct, kw_only=True):
    version: Literal[1] = 1
    raised: list[Raised] = []
    flood: bool = False
    floods: int = 0
    held_back: int = 0


class AlarmLoad:
    """Told of each raising; event time only goes forward here, whichever machine's it is."""

    def __init__(self) -> None:
        self.flood = False
        self._raised: deque[Raised] = deque(maxlen=_MOST_REMEMBERED)
        self._now_ns = 0
        self._floods = 0
        self._held_back = 0

    def raised(self, machine: str, point: str, priority: Priority, t_ns: int) -> None:
        """Count one raising at `t_ns`, which may begin a flood."""
        self._advance(t_ns)
        self._raised.append(Raised(self._now_ns, machine, point, priority))
        if not self.flood and self._within(TEN_MINUTES_NS) > _FLOOD_ABOVE:
            self.flood = True
            self._floods += 1

    def held_back(self) -> None:
        """Count an alarm that was not announced for the flood."""
        self._held_back += 1

    @property
    def now_ns(self) -> int:
        """Event time as far as it has come; 0 before the first window."""
        return self._now_ns

    def move(self, t_ns: int) -> int | None:
        """Let event time go on to `t_ns`; where that ends a flood, the event time at which it was over."""
        over_ns = self.end_flood(t_ns)
        self._advance(t_ns)
        return over_ns

    def end_flood(self, by_ns: int) -> int | None:
        """End a flood that is over by `by_ns` if nothing more is raised; returns since when: the time does not hang on who asks how often."""
        if not self.flood:
            return None
        many = len(self._raised) >= _FLOOD_OVER_BELOW
        over_ns = self._raised[-_FLOOD_OVER_BELOW].t_ns + TEN_MINUTES_NS if many else by_ns
        if by_ns < over_ns:
            return None
        self.flood = False
        return over_ns

    def report(self, standing: Iterable[AlarmState], machine: str | None = None) -> Load:
        """The figures of all machines, or of one; whether there is a flood is always said of all."""
        of = [each for each in self._raised if machine in (None, each.machine)]
        alarms = list(standing)
        counted_ns = min(max(self._now_ns - of[0].t_ns, TEN_MINUTES_NS), _DAY_NS) if of else _DAY_NS
        return Load(
            standing=len(alarms),
            raised_10_min=sum(each.t_ns > self._now_ns - TEN_MINUTES_NS for each in of),
            raised_24_h=len(of),
            per_10_min=round(len(of) * TEN_MINUTES_NS / counted_ns, 3),
            priorities=dict(Counter(each.priority for each in of)),
            chattering=sorted(self._chattering(of))[:_MOST_LISTED],
            stale=[alarm.id for alarm in alarms if self._is_stale(alarm)][:_MOST_LISTED],
            flood=self.flood,
            floods=self._floods,
            held_back=self._held_back,
        )

    def snapshot(self) -> bytes:
        """Everything that must outlive a restart."""
        memory = _Memory(raised=list(self._raised), flood=self.flood, floods=self._floods, held_back=self._held_back)
        return msgspec.json.encode(memory)

    def restore(self, snapshot: bytes) -> None:
        """Go on from `snapshot`; raises ValueError, and changes nothing, where it is damaged."""
        memory = read_snapshot(snapshot, _Memory, "the alarms' figures")
        self._raised = deque(memory.raised, maxlen=_MOST_REMEMBERED)
        self._now_ns = max((each.t_ns for each in memory.raised), default=0)
        self.flood, self._floods, self._held_back = memory.flood, memory.floods, memory.held_back

    def _advance(self, t_ns: int) -> None:
        self._now_ns = max(self._now_ns, t_ns)
        while self._raised and self._raised[0].t_ns < self._now_ns - _DAY_NS:
            self._raised.popleft()

    def _within(self, span_ns: int) -> int:
        count = 0
        for each in reversed(self._raised):
            if each.t_ns <= self._now_ns - span_ns:
                break
            count += 1
        return count

    def _chattering(self, raised: Iterable[Raised]) -> Iterator[str]:
        minute, hour = Counter[str](), Counter[str]()
        for each in raised:
            name = f"{each.machine}.{each.point}"
            hour[name] += each.t_ns > self._now_ns - _HOUR_NS
            minute[name] += each.t_ns > self._now_ns - _MINUTE_NS
        return (name for name in hour if minute[name] >= _CHATTER_A_MINUTE or hour[name] >= _CHATTER_AN_HOUR)

    def _is_stale(self, alarm: AlarmState) -> bool:
        return alarm.cleared_ns is None and self._now_ns - alarm.raised_ns > _STALE_NS
