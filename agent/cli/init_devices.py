"""From the keys that describe a device, as an option or an answer gives them, to its table in the agent's file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import msgspec

from agent.cli.detect import detect
from agent.config.first_file import candidates, lasting_name
from agent.config.profiles import ProfileMissing, available_profiles, read_profile
from agent.config.schema import Device, ModbusUnit, MqttTopic, SerialPort
from agent.decode.profile import Profile
from agent.errors import ConfigError, Problem
from agent.ports.listing import system_ports
from agent.toml_structs import nearest

_PLACES: Mapping[str, type[SerialPort | MqttTopic]] = {"serial": SerialPort, "mqtt": MqttTopic, "modbus": ModbusUnit}
_SECRET = {"password"}  # which takes a table of its own
_AT = "--device"


def keys_of(text: str) -> dict[str, str]:
    """`id=accel,port=/dev/ttyUSB0` as a mapping; raises ConfigError."""
    keys = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not (key and equals and value):
            raise ConfigError([Problem(_AT, f"'{part}' is no KEY=VALUE", "write id=accel,port=/dev/ttyUSB0")])
        keys[key.strip()] = value.strip()
    return keys


def completed(keys: Mapping[str, str], beside: Path, seconds: float) -> dict[str, str]:
    """The keys with id and profile; a missing profile is told by what the port sends. Raises ConfigError, LinkError."""
    if "profile" not in keys:
        keys = {**profile_at(keys.get("port", ""), beside, seconds), **keys}
    return {"id": keys["profile"], **keys}


def device_of(keys: Mapping[str, str], beside: Path) -> Device:
    """The table of the device that the completed `keys` describe; raises ConfigError."""
    place = {key: value for key, value in keys.items() if key not in {"id", "profile"}}
    transport = profile_of(keys["profile"], beside).transport
    if transport != "mqtt" and "port" in place:
        place |= lasting_name(place.pop("port"), system_ports())
    table = _place(place, transport)
    return msgspec.structs.replace(Device(id=keys["id"], profile=keys["profile"]), **{transport: table})


def profile_of(name: str, beside: Path) -> Profile:
    """The profile that an agent's file in the folder `beside` means by `name`; raises ConfigError."""
    try:
        return read_profile(name, beside)
    except ProfileMissing as error:
        what = f"there is no profile '{name}'"
        raise ConfigError([Problem(_AT, what, nearest(name, error.available))]) from error


def profile_at(port: str, beside: Path, seconds: float) -> dict[str, str]:
    """The profile, and where they are not its own the baud rate and parity, of what speaks on `port`; raises ConfigError, LinkError."""
    if not port:
        remedy = f"add profile=NAME; known here: {', '.join(available_profiles(beside))}"
        raise ConfigError([Problem(_AT, "only what a serial port sends tells a profile by itself", remedy)])
    profiles = {name: read_profile(name, beside) for name in available_profiles(beside)}
    serial = {name: profile for name, profile in profiles.items() if profile.transport == "serial"}
    found = detect(port, serial, seconds)
    click.echo("\n".join(found.lines()), err=True)
    if not found.fitting:
        raise ConfigError([Problem(_AT, f"no profile fits what {port} sends", "add profile=NAME")])
    best = found.fitting[0]
    keys = {"profile": best.profile}
    if best.baud != serial[best.profile].baud:
        keys["baud"] = str(best.baud)
    if found.parity != "none":
        keys["parity"] = found.parity
    return keys


def fitting_channels(wanted: Sequence[str], devices: Sequence[Mapping[str, str]], beside: Path) -> list[list[str]]:
    """For each name of the bundle's contract the channels of the devices that may be meant; one, where all is clear."""
    known = {keys["id"]: profile_of(keys["profile"], beside).channel_names for keys in devices}
    return [candidates(name, known) for name in wanted]


def every_channel(devices: Sequence[Mapping[str, str]], beside: Path) -> list[str]:
    """DEVICE.CHANNEL of all of them."""
    return [f"{keys['id']}.{name}" for keys in devices for name in profile_of(keys["profile"], beside).channel_names]


def matched(wanted: Sequence[str], devices: Sequence[Mapping[str, str]], beside: Path) -> list[str]:
    """The channel that each name of the contract means; raises ConfigError where names alone do not tell."""
    fitting = fitting_channels(wanted, devices, beside)
    problems = [
        Problem(
            "--channels",
            f"'{name}' may be {' or '.join(fits) or 'no channel of the devices'}",
            "name all channels in order",
        )
        for name, fits in zip(wanted, fitting, strict=True)
        if len(fits) != 1
    ]
    if problems:
        raise ConfigError(problems)
    return [fits[0] for fits in fitting]


def _place(keys: Mapping[str, str], transport: str) -> SerialPort | MqttTopic:
    kind = _PLACES[transport]
    known = {field.name for field in msgspec.structs.fields(kind)} - _SECRET
    if unknown := [key for key in keys if key not in known]:
        what = f"a device on {transport} has no '{unknown[0]}'"
        raise ConfigError([Problem(_AT, what, nearest(unknown[0], known))])
    try:
        return msgspec.convert(keys, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(
            [Problem(_AT, str(error), f"a device on {transport} has {', '.join(sorted(known))}")]
        ) from error
