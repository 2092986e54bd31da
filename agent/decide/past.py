"""A machine's earlier alarms, as many as fit, each with what operators said of it: followed as alarms go on, asked when one is raised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from agent.decide.alarm import NOBODY, AlarmState, Change, Transition
from agent.decide.explanation import Explanation
from agent.decide.isa18 import Action
from agent.decide.likeness import PastAlarm, alike, in_words
from agent.snapshots import read_snapshot

MOST_REMEMBERED = 50
LONGEST_COMMENT = 160
_BACK = frozenset({Action.UNSHELVE, Action.UNSUPPRESS, Action.RETURN})  # what is said then is not about the alarm


class PastAlarms:
    """Alarms enter when they are first told, oldest first; where they are too many, the oldest goes of the point that has most.

    An operator's verdict goes before words without one, the latest before earlier ones.
    """

    def __init__(self) -> None:
        self._alarms: dict[str, PastAlarm] = {}

    @property
    def alarms(self) -> Sequence[PastAlarm]:
        """Oldest first."""
        return list(self._alarms.values())

    def named(self, alarm: str) -> PastAlarm | None:
        """The alarm of this id; None where it is not remembered."""
        return self._alarms.get(alarm)

    def latest(self, point: str) -> PastAlarm | None:
        """The alarm of `point` that was told last."""
        return next((each for each in reversed(self._alarms.values()) if each.point == point), None)

    def beside(self, point: str, standing: AlarmState | None, explanation: Explanation) -> Explanation:
        """The explanation of an alarm of `point` with the earlier ones that it is like; `standing` is that alarm itself."""
        itself = None if standing is None else standing.id
        others = [each for each in self._alarms.values() if each.id != itself]
        similar = alike(point, {each.channel: each.share for each in explanation.channels}, others)
        sentence = " ".join(filter(None, [explanation.sentence, in_words(similar)]))
        return msgspec.structs.replace(explanation, similar=similar, sentence=sentence)

    def take(self, change: Change, standing: AlarmState | None) -> None:
        """Follow what a step or an act of a point brought about; `standing` is what stands there now."""
        alarm = standing if change.event is None else change.event.after
        if alarm is not None and alarm.id in self._alarms:
            known = self._alarms[alarm.id]
            self._alarms[alarm.id] = msgspec.structs.replace(
                known, cleared_ns=alarm.cleared_ns, peak_strangeness=alarm.peak.strangeness
            )
        elif alarm is not None and change.event is not None and change.event.type == "new":
            self._enter(alarm)
        for transition in change.transitions:
            self._hear(transition)

    def snapshot(self) -> bytes:
        """Everything that must outlive a restart."""
        return msgspec.json.encode(self.alarms)

    def restore(self, snapshot: bytes) -> None:
        """Go on from `snapshot`; raises ValueError, and changes nothing, where it is damaged."""
        alarms = read_snapshot(snapshot, list[PastAlarm], "the earlier alarms")
        self._alarms = {each.id: each for each in alarms[-MOST_REMEMBERED:]}

    def _enter(self, alarm: AlarmState) -> None:
        lead = alarm.channels[0].expected if alarm.channels else None
        self._alarms[alarm.id] = PastAlarm(
            id=alarm.id,
            point=alarm.point,
            raised_ns=alarm.raised_ns,
            cleared_ns=alarm.cleared_ns,
            peak_strangeness=alarm.peak.strangeness,
            shares={each.channel: each.share for each in alarm.channels},
            band_hz=None if lead is None else lead.band_hz,
        )
        if len(self._alarms) > MOST_REMEMBERED:
            ((crowded, _),) = Counter(each.point for each in self._alarms.values()).most_common(1)
            del self._alarms[next(each.id for each in self._alarms.values() if each.point == crowded)]

    def _hear(self, said: Transition) -> None:
        known = None if said.alarm is None else self._alarms.get(said.alarm)
        if known is None or said.by == NOBODY or said.action in _BACK:
            return
        if said.verdict is not None or known.verdict is None:
            comment = said.comment
            if len(comment) > LONGEST_COMMENT:
                comment = f"{comment[: LONGEST_COMMENT - 1]}…"
            self._alarms[known.id] = msgspec.structs.replace(known, verdict=said.verdict, by=said.by, comment=comment)
