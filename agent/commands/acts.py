"""What an operator's request means: which alarm point, who did it, and until when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from agent.commands import catalogue
from agent.commands.request import RequestError
from agent.decide.alarm import Act
from agent.decide.machine_alarms import MachineAlarms
from agent.quantities import parse_duration_ns
from agent.types import NANOSECONDS


def place_of(arguments: catalogue.Act, alarms: Mapping[str, MachineAlarms]) -> tuple[str, str]:
    """Machine and point; raises RequestError."""
    if (arguments.alarm is None) == (arguments.machine is None):
        raise RequestError("name the alarm by its id (alarm), or by machine and point: exactly one of the two")
    if arguments.machine is not None:
        if arguments.machine not in alarms:
            raise RequestError(f"there is no machine '{arguments.machine}'; there are {', '.join(alarms)}")
        return arguments.machine, arguments.point
    for machine, each in alarms.items():
        for alarm in each.standing:
            if alarm.id == arguments.alarm:
                return machine, alarm.point
    if isinstance(arguments, catalogue.Judge):
        return _remembered(arguments.alarm, alarms)
    raise RequestError(f"no alarm '{arguments.alarm}' stands: alarms.list says which do")


def _remembered(alarm: str | None, alarms: Mapping[str, MachineAlarms]) -> tuple[str, str]:
    for machine, each in alarms.items():
        if alarm is not None and (past := each.past.named(alarm)) is not None:
            return machine, past.point
    raise RequestError(f"no alarm '{alarm}' stands or is remembered: alarms.list and alarms.past say which do")


def act_of(arguments: catalogue.Act, peer: str | None, now_ns: int) -> Act:
    """Who did it, as they say, and behind it the local user that the kernel names; raises RequestError."""
    by = arguments.by if peer in (None, arguments.by) else f"{arguments.by} ({peer})"
    until_ns = _until_ns(arguments, now_ns) if isinstance(arguments, catalogue.Shelve) else None
    verdict = arguments.verdict if isinstance(arguments, catalogue.Ack | catalogue.Judge) else None
    return Act(by=by, comment=arguments.comment, time_ns=now_ns, until_ns=until_ns, verdict=verdict)


def _until_ns(arguments: catalogue.Shelve, now_ns: int) -> int:
    if arguments.until is not None and arguments.for_ is None:
        try:
            until = datetime.fromisoformat(arguments.until)
        except ValueError as error:
            raise RequestError(f"until: {error}; write a time like 2026-01-31T14:00:00Z") from error
        if until.tzinfo is None:
            raise RequestError("until: say the zone too, as in 2026-01-31T14:00:00Z")
        return round(until.timestamp() * NANOSECONDS)
    if arguments.for_ is not None and arguments.until is None:
        try:
            return now_ns + parse_duration_ns(arguments.for_)
        except ValueError as error:
            raise RequestError(f"for: {error}") from error
    raise RequestError("say until when, or for how long: exactly one of until and for")
