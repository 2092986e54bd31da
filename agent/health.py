"""How the agent and its devices fare, in the words of NAMUR NE 107: states, their reasons, and the documents that say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import msgspec

from agent.decide.journal import Head
from agent.decide.kpi import Load
from agent.decide.yardstick import Fit
from agent.metrics import Balance
from agent.sensors.faults import MEANING, SEVERITY, Fault, State, worst
from agent.sensors.watch import ChannelState
from agent.supervise import ThreadReport
from agent.types import NANOSECONDS

_MOST_NAMED = 3
_MOST_UNKNOWN = 0.1  # of a day's windows


class Reason(msgspec.Struct, frozen=True):
    """Why something is not ok: where, what, and what to do about it; the words stay the same for as long as it lasts."""

    state: State
    where: str
    what: str
    remedy: str


class CalibrationHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine's scores are judged by, and how sure that is of its budget: the rate may be wrong by `factor`, one standard error.

    With `more_hours` more of normal data that would be a factor of 3. `by`, `created` and `sha256` are of the commissioning on this box.
    """

    basis: Literal["bundle", "commissioned"]
    hours: float
    factor: float
    more_hours: float
    by: str | None = None
    created: str | None = None
    sha256: str | None = None


class MachineHealth(Fit, frozen=True, kw_only=True):
    """How well a machine's model and calibration fit it."""

    calibration: CalibrationHealth


class AgentHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The agent as a whole. `provider` runs its models, None where it has none; `flow` must balance stage by stage."""

    state: State
    reasons: list[Reason]
    versions: dict[str, str]
    provider: str | None
    uptime_s: float
    flow: dict[str, dict[str, int]]
    counters: dict[str, int]
    alarms: Load | None  # how heavily they load whoever answers them
    machines: dict[str, MachineHealth]
    journal: Head | None  # the newest audit record: kept elsewhere, it shows where the journal's end was cut off


class ChannelHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One channel's state, the faults that led to it, and how often any of them has come or gone."""

    state: State
    faults: list[Fault]
    changes: int


class DeviceHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One device. `silent_s` is the time since its last sample, None before the first; `link` holds what its line went through."""

    state: State
    reasons: list[Reason]
    silent_s: float | None
    channels: dict[str, ChannelHealth]
    link: dict[str, int | float | None]


def agent_health(
    *,
    reasons: Sequence[Reason],
    versions: Mapping[str, str],
    provider: str | None,
    uptime_ns: int,
    flow: Mapping[str, Balance],
    counters: Mapping[str, int],
    alarms: Load | None = None,
    machines: Mapping[str, MachineHealth] = MappingProxyType({}),
    journal: Head | None = None,
) -> AgentHealth:
    """The agent's document; a stage whose items do not add up is a reason of its own."""
    every = [*reasons, *flow_reasons(flow)]
    return AgentHealth(
        state=worst(reason.state for reason in every),
        reasons=_worst_first(every),
        versions=dict(versions),
        provider=provider,
        uptime_s=uptime_ns / NANOSECONDS,
        flow={stage: balance.as_dict() for stage, balance in flow.items()},
        counters=dict(counters),
        alarms=alarms,
        machines=dict(machines),
        journal=journal,
    )


def headline(health: AgentHealth) -> str:
    """The state with its worst reason in one line, as `systemctl status` shows it."""
    return ": ".join([health.state, *(part for reason in health.reasons[:1] for part in (reason.where, reason.what))])


def device_health(
    device: str,
    *,
    link_failure: str | None,
    silent_ns: int | None,
    silent_after_ns: int,
    undecoded_ns: int,
    faults: Sequence[Fault],
    channels: Mapping[str, ChannelState],
    actions: Mapping[str, str],
    link: Mapping[str, int | float | None],
) -> DeviceHealth:
    """A device's document.

    `link_failure` says why its port or broker cannot be read, None where it can; `silent_ns` is None before the first
    byte; `undecoded_ns` is for how long bytes have come of which no frame decodes, zero where some does. `faults` are those of its line
    and clock; `actions` says what helps a channel by its name, and the device itself under the empty one.
    """
    reasons = link_reasons(device, link_failure, silent_ns, silent_after_ns, undecoded_ns)
    reasons += [_fault_reason(fault, device, actions.get("")) for fault in faults]
    reasons += [
        _fault_reason(fault, f"{device}.{name}", actions.get(name))
        for name, channel in channels.items()
        for fault in channel.faults
    ]
    return DeviceHealth(
        state=worst(reason.state for reason in reasons),
        reasons=_worst_first(reasons),
        silent_s=None if silent_ns is None else silent_ns / NANOSECONDS,
        channels={
            name: ChannelHealth(state=channel.state, faults=list(channel.faults), changes=channel.changes)
            for name, channel in channels.items()
        },
        link=dict(link),
    )


def link_reasons(
    device: str, link_failure: str | None, silent_ns: int | None, silent_after_ns: int, undecoded_ns: int
) -> list[Reason]:
    """A port that is gone, a port that is silent and a port that talks gibberish are three faults with three remedies."""
    if link_failure is not None:
        return [
            Reason(
                State.FAILURE, device, link_failure, "check the cable, the port's name and its rights, or the broker"
            )
        ]
    if silent_ns is None:
        return [
            Reason(State.CHECK_FUNCTION, device, "no sample yet", "check baud rate, topic and profile if this lasts")
        ]
    if silent_ns > silent_after_ns:
        what = f"silent for more than {silent_after_ns / NANOSECONDS:g} s"
        return [Reason(State.FAILURE, device, what, "check that the device has power and is sending")]
    if undecoded_ns > silent_after_ns:
        what = "bytes arrive and no frame of them decodes: wrong baud rate or profile?"
        return [
            Reason(
                State.FAILURE,
                device,
                what,
                "check the profile; on a serial line `stethos ports --detect` tells what fits",
            )
        ]
    return []


def thread_reasons(threads: Iterable[ThreadReport]) -> list[Reason]:
    """Threads that failed and wait for their next start, or run and are stuck."""
    reasons = []
    for thread in threads:
        if thread.failure is not None:
            remedy = "it starts again by itself; the log tells where it failed"
            reasons.append(Reason(State.FAILURE, thread.name, thread.failure, remedy))
        elif thread.stuck:
            remedy = "the watchdog restarts the agent if this lasts"
            reasons.append(Reason(State.FAILURE, thread.name, "no sign of life for longer than it may", remedy))
    return reasons


def fit_reasons(machine: str, fit: Fit) -> list[Reason]:
    """Where a model no longer fits its machine: never an alarm, but something to look after."""
    where, found = f"machine {machine}", []
    if fit.false_alarms.verdict == "exceeded":
        what = "it raises false alarms more often than its budget allows, if those that nobody judged were false"
        found.append((what, "acknowledge alarms as true or false; if they are false, commission the machine anew"))
    if fit.drift.shifted:
        moved = ", ".join(shift.what for shift in fit.drift.shifted[:_MOST_NAMED])
        what = f"its data are not those that its model was calibrated on any more: {moved}"
        found.append((what, "look for what has changed; if it is meant to be so, commission the machine anew"))
    if fit.unknown_state > _MOST_UNKNOWN:
        what = "it is often in an operating state that its model was not calibrated on, or in between"
        found.append((what, "record it in all of its states, and commission it anew or train on that"))
    if fit.adapted is not None and abs(fit.adapted) >= 1:
        what = "its usual score has moved as far as it may be followed"
        found.append((what, "look for what has changed; if it is meant to be so, commission the machine anew"))
    return [Reason(State.MAINTENANCE_REQUIRED, where, what, remedy) for what, remedy in found]


def flow_reasons(flow: Mapping[str, Balance]) -> list[Reason]:
    """Stages that lost items without counting them, which only a defect of this program does."""
    return [
        Reason(State.CHECK_FUNCTION, stage, f"{balance.missing} items are unaccounted for", "report this with the log")
        for stage, balance in flow.items()
        if balance.missing != 0
    ]


def _fault_reason(fault: Fault, where: str, action: str | None) -> Reason:
    meaning = MEANING[fault]
    return Reason(meaning.state, where, meaning.what, action or meaning.remedy)


def _worst_first(reasons: Iterable[Reason]) -> list[Reason]:
    return sorted(reasons, key=lambda reason: -SEVERITY[reason.state])
