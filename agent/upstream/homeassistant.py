"""Home Assistant's device discovery: one bundle of entities for the agent and one for each machine, made of topics that exist anyway."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from agent.decide import isa18
from agent.errors import UNREADABLE
from agent.sensors.faults import State
from agent.types import Retained
from agent.upstream.topics import Topics

Json = dict[str, Any]

_HIDDEN = [isa18.State.SHELVED.value, isa18.State.SUPPRESSED.value, isa18.State.OUT_OF_SERVICE.value]
_WAITING = [
    isa18.State.UNACKNOWLEDGED.value,
    isa18.State.RETURNED.value,
    isa18.State.LATCHED_UNACKNOWLEDGED.value,
]
# The machine deviates now, and nobody said that this is not to be shown.
_PRESENT = f"value_json.alarms | rejectattr('state', 'in', {_HIDDEN}) | selectattr('cleared_ns', 'none')"
# The rate that the model achieves, in the unit of the usual budget; a month is a twelfth of a mean year.
_PER_MONTH = (
    "{% set rate = (value_json.false_alarms or {}).rate_per_hour | default(none) %}"
    "{{ none if rate is none else (rate * 730.485) | round(3) }}"
)
_TOLD = ("id", "point", "priority", "state", "first_out", "sentence", "guidance", "actions")


@dataclass(frozen=True, slots=True)
class DiscoveredMachine:
    """A machine, the bundle that watches it, and its alarm points."""

    id: str
    bundle: str
    bundle_version: str
    points: Sequence[str]


@dataclass(frozen=True, slots=True)
class Discovery:
    """All that one agent announces. Ids consist of A-Z a-z 0-9 _ - as Home Assistant demands; configuration allows no others."""

    prefix: str
    topics: Topics
    version: str
    devices: Sequence[str]
    machines: Sequence[DiscoveredMachine]

    @property
    def status_topic(self) -> str:
        """Where Home Assistant says that it is online."""
        return f"{self.prefix}/status"

    @property
    def config_filter(self) -> str:
        """Where every bundle of every maker lies."""
        return f"{self.prefix}/device/+/config"

    def announcements(self) -> list[Retained]:
        """The agent's bundle and each machine's, to be retained."""
        agent = self._announcement(None, self._device(None, f"Stethos {self.topics.agent}"), self._agent_entities())
        return [agent, *(self._announcement(each.id, *self._machine(each)) for each in self.machines)]

    def is_stale(self, topic: str, payload: bytes) -> bool:
        """Whether this retained bundle was announced by this agent and is of a machine that is no more."""
        if topic in {self._config_topic(None), *(self._config_topic(each.id) for each in self.machines)}:
            return False
        try:
            bundle = msgspec.json.decode(payload, type=_Announced)
        except UNREADABLE:
            return False
        ours = any(each.topic == self.topics.availability for each in bundle.availability)
        return ours and bundle.o.name == "stethos"

    def _announcement(self, machine: str | None, device: Json, entities: Mapping[str, Json]) -> Retained:
        own = self._id(machine)
        body = {
            "dev": device,
            "o": {"name": "stethos", "sw": self.version},
            "availability": [{"topic": self.topics.availability, "value_template": _available()}],
            "qos": 1,
            "cmps": {name: {**entity, "unique_id": f"{own}_{name}"} for name, entity in entities.items()},
        }
        return Retained(self._config_topic(machine), msgspec.json.encode(body))

    def _device(self, machine: str | None, name: str) -> Json:
        return {"ids": [self._id(machine)], "name": name, "mf": "Stethos", "mdl": "agent", "sw": self.version}

    def _machine(self, machine: DiscoveredMachine) -> tuple[Json, dict[str, Json]]:
        device = self._device(machine.id, machine.id) | {
            "mdl": machine.bundle,
            "sw": machine.bundle_version,
            "via_device": self._id(None),
        }
        alarms, summary = self.topics.alarms(machine.id), self.topics.summary(machine.id)
        entities = {"problem": _problem("Problem", alarms, _on(_PRESENT), _first(_PRESENT))}
        for point in machine.points:
            of_point = f"{_PRESENT} | selectattr('point', 'eq', '{point}')"
            # A point is model or RULE.SIDE, and no side has a hyphen: two points never share a name here.
            name = f"problem-{point.replace('.', '-')}"
            entities[name] = _problem(point.replace(".", " ").capitalize(), alarms, _on(of_point), _first(of_point))
        waiting = f"{{{{ value_json.alarms | selectattr('state', 'in', {_WAITING}) | list | count }}}}"
        return device, entities | {
            "standing": _number("Alarms standing", alarms, "{{ value_json.alarms | count }}"),
            "unacknowledged": _number("Alarms to acknowledge", alarms, waiting),
            "score": _number("Score", summary, "{{ value_json.score.p50 }}"),
            "false-alarms": _number("False alarms", summary, _PER_MONTH, "/month"),
            "raised": _number(
                "Alarms of the last day", summary, "{{ (value_json.alarms or {}).raised_24_h | default(none) }}"
            ),
        }

    def _agent_entities(self) -> dict[str, Json]:
        health = self.topics.health
        link = _binary("Link", self.topics.availability, "{{ 'ON' if value == 'online' else 'OFF' }}", "connectivity")
        entities = {
            "link": {**link, "entity_category": "diagnostic", "availability": []},  # it tells of being away
            "problem": _problem("Problem", health, _not_ok(), _reasons()) | {"entity_category": "diagnostic"},
            "health": _state("Health", health),
            "uptime": _number("Uptime", health, "{{ value_json.uptime_s | round }}", "s")
            | {"device_class": "duration"},
        }
        for device in self.devices:
            topic = self.topics.device_health(device)
            entities |= {
                f"health-{device}": _state(f"{device} health", topic),
                f"lost-{device}": _number(f"{device} samples lost", topic, "{{ value_json.link.lost }}")
                | {"state_class": "total_increasing"},
            }
        return entities

    def _config_topic(self, machine: str | None) -> str:
        return f"{self.prefix}/device/{self._id(machine)}/config"

    def _id(self, machine: str | None) -> str:
        """Readable, and told apart from that of an agent of the same name under another base, by a digest of the whole name."""
        parts = [self.topics.agent] if machine is None else [self.topics.agent, machine]
        digest = hashlib.sha256("/".join([self.topics.base, *parts]).encode()).hexdigest()[:8]
        return "_".join(["stethos", *parts, digest])


class _Topic(msgspec.Struct, frozen=True):
    topic: str


class _Origin(msgspec.Struct, frozen=True):
    name: str


class _Announced(msgspec.Struct, frozen=True):
    """What tells whose bundle it is."""

    o: _Origin
    availability: list[_Topic]


def _available() -> str:
    """Home Assistant knows two states; an agent that said goodbye is as far away as one that is lost."""
    return "{{ 'online' if value == 'online' else 'offline' }}"


def _on(alarms: str) -> str:
    return f"{{{{ 'ON' if {alarms} | list else 'OFF' }}}}"


def _first(alarms: str) -> str:
    """The attributes of the first of `alarms`; none where there is none."""
    fields = ", ".join(f"'{name}': found[0].{name}" for name in _TOLD)
    return f"{{% set found = {alarms} | list %}}{{{{ ({{{fields}}} if found else {{}}) | tojson }}}}"


def _not_ok() -> str:
    return f"{{{{ 'OFF' if value_json.state == '{State.OK.value}' else 'ON' }}}}"


def _reasons() -> str:
    return "{{ {'reasons': value_json.reasons} | tojson }}"


def _binary(name: str, topic: str, template: str, device_class: str) -> Json:
    return {
        "p": "binary_sensor",
        "name": name,
        "device_class": device_class,
        "state_topic": topic,
        "value_template": template,
    }


def _problem(name: str, topic: str, template: str, attributes: str) -> Json:
    told = {"json_attributes_topic": topic, "json_attributes_template": attributes}
    return _binary(name, topic, template, "problem") | told


def _state(name: str, topic: str) -> Json:
    return {
        "p": "sensor",
        "name": name,
        "device_class": "enum",
        "options": [state.value for state in State],
        "state_topic": topic,
        "value_template": "{{ value_json.state }}",
        "json_attributes_topic": topic,
        "json_attributes_template": _reasons(),
        "entity_category": "diagnostic",
    }


def _number(name: str, topic: str, template: str, unit: str | None = None) -> Json:
    entity: Json = {
        "p": "sensor",
        "name": name,
        "state_topic": topic,
        "value_template": template,
        "state_class": "measurement",
        "entity_category": "diagnostic",
    }
    return entity if unit is None else entity | {"unit_of_measurement": unit}
