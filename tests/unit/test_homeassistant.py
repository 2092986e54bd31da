"""Home Assistant's discovery: what is announced, what its templates make of alarms, what is ours to take back."""

from __future__ import annotations

import json
import re

import pytest

from agent.quantities import parse_rate_per_hour
from agent.types import Retained
from agent.upstream.announcing import announce
from agent.upstream.homeassistant import DiscoveredMachine, Discovery
from agent.upstream.topics import Topics
from tests.harness.homeassistant import attributes, states

PUMP = DiscoveredMachine("pump-1", "pump", "1.0.0", ("model", "heat.high_high", "heat_high.high"))


def discovery(
    base: str = "stethos", agent: str = "line-3", machines: tuple[DiscoveredMachine, ...] = (PUMP,)
) -> Discovery:
    return Discovery("homeassistant", Topics(base, agent), "0.1.0", ("accel",), machines)


def alarms(*standing: dict[str, object]) -> bytes:
    return json.dumps({"alarms": standing, "hidden": []}).encode()


ACTION = {"channel": "accel.x", "text": "Tighten the probe."}


def alarm(**fields: object) -> dict[str, object]:
    told = {"id": "i", "point": "model", "priority": "high", "state": "unacknowledged", "cleared_ns": None}
    words = {"sentence": "accel.x is <loud>.", "guidance": 'Look at "it".', "actions": [ACTION]}
    return told | {"first_out": True} | words | fields


def summary(score: float | None, alarms: object, false_alarms: object) -> bytes:
    return json.dumps({"score": {"p50": score}, "alarms": alarms, "false_alarms": false_alarms}).encode()


class Told:
    """A link that remembers what it was to retain."""

    def __init__(self) -> None:
        self.retained: list[Retained] = []
        self.listeners: dict[str, object] = {}

    def retain(self, retained: Retained) -> None:
        self.retained.append(retained)

    def listen(self, topic_filter: str, listener: object, *, retained: bool = False) -> None:
        self.listeners[topic_filter] = listener

    def hear(self, topic_filter: str, topic: str, payload: bytes) -> list[Retained]:
        """What it is to retain because of this message."""
        before = len(self.retained)
        self.listeners[topic_filter].take(topic, payload, retained=True, response_topic=None, correlation=None)  # type: ignore[attr-defined]
        return self.retained[before:]


class TestAnnouncements:
    def test_the_agent_and_each_machine_have_a_bundle_of_their_own(self) -> None:
        agent, pump = discovery().announcements()
        for each in (agent, pump):
            assert re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", each.topic)
            body = json.loads(each.payload)
            assert {"dev", "o", "cmps"} <= body.keys()
            assert body["o"]["name"] == "stethos"
        assert json.loads(pump.payload)["dev"]["via_device"] == json.loads(agent.payload)["dev"]["ids"][0]

    def test_every_entity_has_a_platform_and_an_id_that_nothing_else_has(self) -> None:
        machines = (PUMP, DiscoveredMachine("pump-2", "pump", "1.0.0", PUMP.points))
        entities = [
            entity
            for each in discovery(machines=machines).announcements()
            for entity in json.loads(each.payload)["cmps"].values()
        ]
        ids = [entity["unique_id"] for entity in entities]
        assert len(set(ids)) == len(ids)
        assert all(re.fullmatch(r"[a-zA-Z0-9_-]+", each) for each in ids)
        assert {entity["p"] for entity in entities} == {"binary_sensor", "sensor"}

    def test_agents_of_one_name_under_two_bases_do_not_share_a_topic(self) -> None:
        here, there = discovery("stethos"), discovery("plant/stethos")
        assert not {each.topic for each in here.announcements()} & {each.topic for each in there.announcements()}

    def test_names_that_read_alike_when_joined_are_told_apart(self) -> None:
        one = discovery(agent="a", machines=(DiscoveredMachine("b_c", "m", "1", ()),)).announcements()
        other = discovery(agent="a_b", machines=(DiscoveredMachine("c", "m", "1", ()),)).announcements()
        assert one[1].topic != other[1].topic


class TestTemplates:
    PUMP_ALARMS = "stethos/line-3/machine/pump-1/alarms"
    PUMP_SUMMARY = "stethos/line-3/machine/pump-1/summary"

    @pytest.mark.parametrize(
        ("standing", "expected"),
        [
            ((), "OFF"),
            ((alarm(),), "ON"),
            ((alarm(state="acknowledged"),), "ON"),
            ((alarm(state="returned_unacknowledged", cleared_ns=1),), "OFF"),
            ((alarm(state="latched_unacknowledged", cleared_ns=1),), "OFF"),
            ((alarm(state="shelved"),), "OFF"),
            ((alarm(state="shelved"), alarm(state="acknowledged", point="heat.high_high")), "ON"),
        ],
    )
    def test_there_is_a_problem_while_the_machine_deviates_in_the_open(self, standing, expected) -> None:
        _, pump = discovery().announcements()
        assert states(pump.payload, {self.PUMP_ALARMS: alarms(*standing)})["problem"] == expected

    def test_each_point_has_its_own_problem(self) -> None:
        _, pump = discovery().announcements()
        found = states(pump.payload, {self.PUMP_ALARMS: alarms(alarm(point="heat.high_high"))})
        assert {name: state for name, state in found.items() if name.startswith("problem")} == {
            "problem": "ON",
            "problem-model": "OFF",
            "problem-heat-high_high": "ON",
            "problem-heat_high-high": "OFF",
        }

    def test_a_problem_says_why_and_what_to_do(self) -> None:
        _, pump = discovery().announcements()
        retained = {self.PUMP_ALARMS: alarms(alarm())}
        told = attributes(pump.payload, "problem", retained)
        assert told["sentence"] == "accel.x is <loud>."
        assert (told["guidance"], told["actions"]) == ('Look at "it".', [ACTION])
        assert attributes(pump.payload, "problem-heat-high_high", retained) == {}

    def test_alarms_that_wait_for_somebody_are_counted(self) -> None:
        _, pump = discovery().announcements()
        standing = alarm(), alarm(state="acknowledged"), alarm(state="returned_unacknowledged", cleared_ns=1)
        found = states(pump.payload, {self.PUMP_ALARMS: alarms(*standing)})
        assert (found["standing"], found["unacknowledged"]) == ("3", "2")

    def test_a_zero_score_is_shown_as_zero(self) -> None:
        _, pump = discovery().announcements()
        found = states(pump.payload, {self.PUMP_SUMMARY: summary(0.0, {"raised_24_h": 0}, {"rate_per_hour": 0.0})})
        assert (found["score"], found["raised"], found["false-alarms"]) == ("0.0", "0", "0.0")

    @pytest.mark.parametrize("rate", [None, {"rate_per_hour": None}])
    def test_what_is_not_known_is_unknown(self, rate: dict[str, None] | None) -> None:
        _, pump = discovery().announcements()
        found = states(pump.payload, {self.PUMP_SUMMARY: summary(None, None, rate)})
        assert (found["score"], found["raised"], found["false-alarms"]) == ("None",) * 3, "Home Assistant's unknown"

    def test_the_rate_of_false_alarms_is_told_a_month(self) -> None:
        _, pump = discovery().announcements()
        once_a_month = {"rate_per_hour": parse_rate_per_hour("1 per month")}
        assert states(pump.payload, {self.PUMP_SUMMARY: summary(1.0, None, once_a_month)})["false-alarms"] == "1.0"

    @pytest.mark.parametrize(("payload", "expected"), [(b"online", "ON"), (b"stopped", "OFF"), (b"offline", "OFF")])
    def test_the_link_is_down_after_a_goodbye_and_after_a_crash(self, payload, expected) -> None:
        agent, _ = discovery().announcements()
        assert states(agent.payload, {"stethos/line-3/availability": payload})["link"] == expected


class TestAnnouncing:
    def test_everything_is_said_at_the_start_and_again_when_home_assistant_comes_online(self) -> None:
        link = Told()
        announce(discovery(), link)
        assert link.retained == discovery().announcements()
        assert link.hear("homeassistant/status", "homeassistant/status", b"online") == discovery().announcements()
        assert link.hear("homeassistant/status", "homeassistant/status", b"offline") == []

    def test_what_has_changed_is_said_anew_and_from_then_on(self) -> None:
        link = Told()
        renew = announce(discovery(machines=()), link)
        before = len(link.retained)
        renew(discovery())
        assert link.retained[before:] == discovery().announcements()
        assert link.hear("homeassistant/status", "homeassistant/status", b"online") == discovery().announcements()

    def test_a_machine_that_is_no_more_is_taken_back(self) -> None:
        link = Told()
        announce(discovery(machines=()), link)
        _, gone = discovery().announcements()
        assert link.hear("homeassistant/device/+/config", gone.topic, gone.payload) == [Retained(gone.topic, b"")]

    def test_what_others_announced_is_left_alone(self) -> None:
        link = Told()
        announce(discovery(), link)
        elsewhere = discovery("plant/stethos").announcements() + discovery(agent="line-4").announcements()
        foreign = b'{"o": {"name": "zigbee2mqtt"}, "availability": [{"topic": "stethos/line-3/availability"}]}'
        for topic, payload in [
            *((each.topic, each.payload) for each in elsewhere),
            ("homeassistant/device/x/config", foreign),
        ]:
            assert link.hear("homeassistant/device/+/config", topic, payload) == []

    @pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b"[]", b"[" * 100_000, b'{"o": {"name": "stethos"}}'])
    def test_nonsense_is_left_alone(self, payload: bytes) -> None:
        link = Told()
        announce(discovery(), link)
        assert link.hear("homeassistant/device/+/config", "homeassistant/device/x/config", payload) == []

    def test_what_is_taken_back_is_bounded(self) -> None:
        link = Told()
        announce(discovery(machines=()), link)
        _, gone = discovery().announcements()
        for number in range(500):
            link.hear("homeassistant/device/+/config", f"homeassistant/device/{number}/config", gone.payload)
        assert len(link.retained) <= 101
