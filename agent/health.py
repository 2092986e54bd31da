"""How the agent and its devices fare, in the words of NAMUR NE 107: states, their reasons, and the documents that say so."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from agent.metrics import Balance
from agent.supervise import ThreadReport
from agent.types import NANOSECONDS, Quality


class State(enum.StrEnum):
    """NE 107's status signals, best first; where several hold, the worst is shown."""

    OK = "ok"
    MAINTENANCE_REQUIRED = "maintenance_required"  # works, and will not for long
    OUT_OF_SPECIFICATION = "out_of_specification"  # works outside of what it was specified for
    CHECK_FUNCTION = "check_function"  # its output is not valid for now
    FAILURE = "failure"  # its output is not valid


_SEVERITY = {state: severity for severity, state in enumerate(State)}

_STATE_OF_FLAG = {
    Quality.MISSING: State.FAILURE,
    Quality.OUT_OF_RANGE: State.OUT_OF_SPECIFICATION,
    Quality.STUCK: State.FAILURE,
    Quality.STALE: State.FAILURE,
    Quality.CLIPPED: State.OUT_OF_SPECIFICATION,
}


class Reason(msgspec.Struct, frozen=True):
    """Why something is not ok: where, what, and what to do about it; the words stay the same for as long as it lasts."""

    state: State
    where: str
    what: str
    remedy: str


class AgentHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The agent as a whole. `provider` runs its models, None where it has none; `flow` must balance stage by stage."""

    state: State
    reasons: list[Reason]
    versions: dict[str, str]
    provider: str | None
    uptime_s: float
    flow: dict[str, dict[str, int]]
    counters: dict[str, int]


class ChannelHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One channel's state and the quality flags that led to it."""

    state: State
    quality: list[str]


class DeviceHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One device. `silent_s` is the time since its last sample, None before the first; `link` counts frames and errors."""

    state: State
    reasons: list[Reason]
    silent_s: float | None
    channels: dict[str, ChannelHealth]
    link: dict[str, int]


def worst(states: Iterable[State]) -> State:
    """The state that a summary of `states` shows; ok where there are none."""
    return max(states, key=_SEVERITY.__getitem__, default=State.OK)


def agent_health(
    *,
    reasons: Sequence[Reason],
    versions: Mapping[str, str],
    provider: str | None,
    uptime_ns: int,
    flow: Mapping[str, Balance],
    counters: Mapping[str, int],
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
    )


def device_health(
    device: str,
    *,
    link_failure: str | None,
    silent_ns: int | None,
    silent_after_ns: int,
    quality: Mapping[str, int],
    link: Mapping[str, int],
) -> DeviceHealth:
    """A device's document.

    `link_failure` says why its port or broker cannot be read, None where it can; `silent_ns` is None before the first
    sample; `quality` holds each channel's recent `Quality` flags, or-ed together.
    """
    channels = {name: _channel_health(flags) for name, flags in quality.items()}
    reasons = [*link_reasons(device, link_failure, silent_ns, silent_after_ns)]
    reasons += [
        Reason(
            health.state,
            f"{device}.{name}",
            f"recent values are {', '.join(health.quality)}",
            "check the sensor and its wiring",
        )
        for name, health in channels.items()
        if health.state is not State.OK
    ]
    return DeviceHealth(
        state=worst(reason.state for reason in reasons),
        reasons=_worst_first(reasons),
        silent_s=None if silent_ns is None else silent_ns / NANOSECONDS,
        channels=channels,
        link=dict(link),
    )


def link_reasons(device: str, link_failure: str | None, silent_ns: int | None, silent_after_ns: int) -> list[Reason]:
    """A port that is gone and a port that is silent are two faults with two remedies."""
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


def flow_reasons(flow: Mapping[str, Balance]) -> list[Reason]:
    """Stages that lost items without counting them, which only a defect of this program does."""
    return [
        Reason(State.CHECK_FUNCTION, stage, f"{balance.missing} items are unaccounted for", "report this with the log")
        for stage, balance in flow.items()
        if balance.missing != 0
    ]


def _channel_health(flags: int) -> ChannelHealth:
    quality = Quality(flags)
    state = worst(_STATE_OF_FLAG[flag] for flag in quality)
    return ChannelHealth(state=state, quality=[str(flag.name).lower() for flag in quality])


def _worst_first(reasons: Iterable[Reason]) -> list[Reason]:
    return sorted(reasons, key=lambda reason: -_SEVERITY[reason.state])
