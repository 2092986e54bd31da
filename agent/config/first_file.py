"""The text of a first agent.toml, from what a technician knows: which devices, which machine, which broker."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from agent.config.schema import Device, ModbusUnit, MqttTopic, SerialPort
from agent.ports.identity import Port


@dataclass(frozen=True, slots=True)
class Answers:
    """All that the file says; files are named as the agent's file names them, None where there is none."""

    agent: str
    state: str
    devices: Sequence[Device]
    machine: str
    bundle: str
    key: str
    channels: Sequence[str]  # DEVICE.CHANNEL in the order of the bundle's contract
    false_alarms: str
    broker: str
    allow_plaintext: bool = False
    ca: str | None = None
    username: str | None = None
    password: str | None = None


def text_of(answers: Answers) -> str:
    """The agent's file."""
    return "\n".join([*_head(answers), *_devices(answers.devices), *_machine(answers), *_upstream(answers), ""])


def _head(answers: Answers) -> Iterator[str]:
    yield "# Written by `stethos init`. After a change: stethos check FILE, then systemctl restart stethos."
    yield "[agent]"
    yield f"id = {_quote(answers.agent)}"
    yield f"state = {_quote(answers.state)}"


def _devices(devices: Sequence[Device]) -> Iterator[str]:
    for device in devices:
        yield from ("", "[[device]]", f"id = {_quote(device.id)}", f"profile = {_quote(device.profile)}")
        for name in ("serial", "mqtt", "modbus"):
            if (place := getattr(device, name)) is not None:
                yield f"{name} = {_inline(place)}"


def _machine(answers: Answers) -> Iterator[str]:
    yield from ("", "[[machine]]", f"id = {_quote(answers.machine)}", f"bundle = {_quote(answers.bundle)}")
    yield "channels = ["
    yield from (f"  {_quote(channel)}," for channel in answers.channels)
    yield "]"
    yield f"false_alarms = {_quote(answers.false_alarms)}  # so many are accepted; fewer means that small faults show later"
    yield from ("", "[trust]", f"keys = [{_quote(answers.key)}]")


def _upstream(answers: Answers) -> Iterator[str]:
    yield from ("", "[upstream]", f"broker = {_quote(answers.broker)}")
    if answers.allow_plaintext:
        yield "allow_plaintext = true  # whoever is on the network between can read the alarms, and the password"
    if answers.ca is not None:
        yield f"ca = {_quote(answers.ca)}"
    if answers.username is not None:
        yield f"username = {_quote(answers.username)}"
    if answers.password is not None:
        yield f"password = {{ file = {_quote(answers.password)} }}"


def _inline(place: SerialPort | MqttTopic | ModbusUnit) -> str:
    """What differs from the defaults, as an inline table."""
    kept = {}
    for field in msgspec.structs.fields(place):
        value = getattr(place, field.name)
        if value != field.default:
            kept[field.name] = _quote(value) if isinstance(value, str) else str(value).lower()
    return f"{{ {', '.join(f'{name} = {value}' for name, value in kept.items())} }}"


def _quote(text: str) -> str:
    """A TOML basic string, whose escapes are those of JSON but for DEL."""
    return json.dumps(text).replace("\x7f", "\\u007f")


def lasting_name(path: str, ports: Sequence[Port]) -> dict[str, str]:
    """The key that binds the port at `path` for longest: its device's serial number, else the socket it is plugged into, else the path."""
    port = next((each for each in ports if path in {each.path, *each.links}), Port(path))
    if port.usb_serial and [each.usb_serial for each in ports].count(port.usb_serial) == 1:
        return {"usb_serial": port.usb_serial}
    sockets = [link for link in port.links if link.startswith("/dev/serial/by-path/")]
    return {"port": sockets[0] if sockets else path}


def candidates(wanted: str, channels: Mapping[str, Sequence[str]]) -> list[str]:
    """Which DEVICE.CHANNEL of the `channels` by device may be meant by a name of a bundle's contract, itself perhaps one."""
    spelled = [(f"{device}.{name}", name) for device, names in channels.items() for name in names]
    return [full for full, _ in spelled if full == wanted] or [full for full, name in spelled if name == wanted]
