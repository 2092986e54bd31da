"""The worst state wins, every state has its reason, and a flow that does not balance is told."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.decide.achieved import FalseAlarms
from agent.decide.drift import Drift, Shift
from agent.decide.yardstick import Fit
from agent.health import (
    Reason,
    agent_health,
    device_health,
    fit_reasons,
    flow_reasons,
    link_reasons,
    status_line,
    thread_reasons,
)
from agent.metrics import Balance
from agent.sensors.faults import MEANING, Fault, State, worst
from agent.sensors.watch import ChannelState
from agent.supervise import ThreadReport

SECOND = 1_000_000_000


def device(**changes: object) -> dict[str, object]:
    """A sound device's inputs."""
    return {
        "link_failure": None,
        "silent_ns": 0,
        "silent_after_ns": 5 * SECOND,
        "undecoded_ns": 0,
        "faults": (),
        "channels": {"x": ChannelState(State.OK, (), 0)},
        "actions": {},
        "link": {"frames": 7},
        **changes,
    }


def test_states_are_ranked_as_ne_107_ranks_them() -> None:
    assert [
        str(state) for state in sorted(State, key=lambda state: [worst([state, other]) for other in State].count(state))
    ] == [
        "ok",
        "maintenance_required",
        "out_of_specification",
        "check_function",
        "failure",
    ]


@given(st.lists(st.sampled_from(State)))
def test_the_worst_state_wins_in_any_order(states: list[State]) -> None:
    assert worst(states) is worst(reversed(states))
    assert all(worst([worst(states), state]) is worst(states) for state in states)
    assert worst([]) is State.OK


def test_a_sound_device_is_ok() -> None:
    health = device_health("accel", **device())
    assert (health.state, health.reasons, health.silent_s, health.link) == (State.OK, [], 0.0, {"frames": 7})
    assert health.channels["x"].state is State.OK


@pytest.mark.parametrize(
    ("link_failure", "silent_ns", "undecoded_ns", "state", "what"),
    [
        ("port gone", 0, 9 * SECOND, State.FAILURE, "port gone"),
        (None, None, 0, State.CHECK_FUNCTION, "no sample yet"),
        (None, 5 * SECOND + 1, 0, State.FAILURE, "silent for more than 5 s"),
        (
            None,
            0,
            5 * SECOND + 1,
            State.FAILURE,
            "bytes arrive and no frame of them decodes: wrong baud rate or profile?",
        ),
    ],
)
def test_gone_silent_gibberish_and_not_yet_heard_are_four_things(
    link_failure: str | None, silent_ns: int | None, undecoded_ns: int, state: State, what: str
) -> None:
    [reason] = link_reasons("accel", link_failure, silent_ns, 5 * SECOND, undecoded_ns)
    assert (reason.state, reason.where, reason.what) == (state, "accel", what)
    assert reason.remedy
    changes = {"link_failure": link_failure, "silent_ns": silent_ns, "undecoded_ns": undecoded_ns}
    assert device_health("accel", **device(**changes)).state is state


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_of_a_channel_is_a_reason_of_its_own(fault: Fault) -> None:
    state = MEANING[fault].state
    channels = {"x": ChannelState(state, (fault,), 1), "y": ChannelState(State.OK, (), 0)}
    health = device_health("accel", **device(channels=channels))
    assert (health.channels["x"].state, health.channels["x"].faults) == (state, [fault])
    assert health.channels["y"].state is State.OK
    [reason] = health.reasons
    assert (reason.state, reason.where, reason.what) == (state, "accel.x", MEANING[fault].what)
    assert health.state is state


def test_several_faults_show_the_worst_first_and_the_profiles_own_remedy() -> None:
    stuck = ChannelState(State.FAILURE, (Fault.CLIPPED, Fault.STUCK), 3)
    health = device_health(
        "accel", **device(channels={"x": stuck}, actions={"x": "tighten the probe"}, faults=(Fault.BROKEN_FRAMES,))
    )
    assert health.state is State.FAILURE
    assert [(reason.where, reason.remedy) for reason in health.reasons] == [
        ("accel.x", "tighten the probe"),
        ("accel.x", "tighten the probe"),
        ("accel", MEANING[Fault.BROKEN_FRAMES].remedy),
    ]
    assert health.channels["x"].changes == 3


def test_a_channel_not_heard_yet_is_no_reason_by_itself() -> None:
    health = device_health("accel", **device(channels={"x": ChannelState(State.CHECK_FUNCTION, (), 0)}))
    assert health.channels["x"].state is State.CHECK_FUNCTION
    assert health.state is State.OK


def test_threads_that_failed_or_hang_are_reasons() -> None:
    fine = ThreadReport("a", 3, None, 10, stuck=False)
    failed = ThreadReport("reader accel", 1, "OSError: gone", 10, stuck=False)
    stuck = ThreadReport("outbox", 0, None, 12 * SECOND, stuck=True)
    reasons = thread_reasons([fine, failed, stuck])
    assert [(reason.where, reason.what) for reason in reasons] == [
        ("reader accel", "OSError: gone"),
        ("outbox", "no sign of life for longer than it may"),
    ]


def test_items_that_are_unaccounted_for_are_a_reason() -> None:
    flow = {"decode": Balance(10, 7, 2, 1), "window": Balance(10, 7, 2, 0)}
    [reason] = flow_reasons(flow)
    assert (reason.where, reason.what) == ("window", "1 items are unaccounted for")


def test_the_status_line_is_the_state_and_its_worst_reason_in_words() -> None:
    reasons = [
        Reason(State.MAINTENANCE_REQUIRED, "machine m", "its data have moved", "look"),
        Reason(State.FAILURE, "outbox", "disk full", "free some"),
    ]
    one = agent_health(reasons=reasons, versions={}, provider=None, uptime_ns=0, flow={}, counters={})
    assert status_line(one) == "failure: outbox: disk full"
    assert status_line(msgspec.structs.replace(one, state=State.OK, reasons=[])) == "ok"


def test_the_agents_document_has_everything_worst_reason_first() -> None:
    health = agent_health(
        reasons=[Reason(State.MAINTENANCE_REQUIRED, "outbox", "80 % full", "")],
        versions={"stethos": "1"},
        provider="CPUExecutionProvider",
        uptime_ns=1_500_000_000,
        flow={"decode": Balance(1, 0, 0, 0)},
        counters={"alarms": 1},
    )
    assert health.state is State.CHECK_FUNCTION
    assert [reason.where for reason in health.reasons] == ["decode", "outbox"]
    assert msgspec.json.decode(msgspec.json.encode(health)) == {
        "state": "check_function",
        "reasons": [
            {
                "state": "check_function",
                "where": "decode",
                "what": "1 items are unaccounted for",
                "remedy": "report this with the log",
            },
            {"state": "maintenance_required", "where": "outbox", "what": "80 % full", "remedy": ""},
        ],
        "versions": {"stethos": "1"},
        "provider": "CPUExecutionProvider",
        "uptime_s": 1.5,
        "flow": {"decode": {"in": 1, "out": 0, "held": 0, "dropped": 0}},
        "counters": {"alarms": 1},
        "alarms": None,
        "machines": {},
        "bundles": {},
        "journal": None,
    }


def test_a_model_that_no_longer_fits_asks_for_maintenance_and_says_of_what() -> None:
    achieved = FalseAlarms(0.1, 3_600 * SECOND, "b").report()
    sound = Fit(
        false_alarms=achieved, drift=Drift(largest=0.1, shifted=[], looks=999), unknown_state=0.1, adapted=-0.99
    )
    assert fit_reasons("pump", sound) == []
    moved = Drift(largest=0.9, shifted=[Shift(what=f"accel.{name}", psi=0.9) for name in "abcd"], looks=999)
    spoilt = Fit(
        false_alarms=msgspec.structs.replace(achieved, verdict="exceeded"), drift=moved, unknown_state=0.11, adapted=-1
    )
    reasons = fit_reasons("pump", spoilt)
    assert {(reason.state, reason.where) for reason in reasons} == {(State.MAINTENANCE_REQUIRED, "machine pump")}
    assert len(reasons) == 4
    assert "any more: accel.a, accel.b, accel.c" in reasons[1].what
    assert "accel.d" not in reasons[1].what
