"""Reads a firmware profile and finds every problem in it, each with its file, line and remedy."""

from __future__ import annotations

import math
from collections.abc import Iterator

from agent.decode import layout_rules, message_rules, modbus_layout, sensor_rules, startup, wire_rules
from agent.decode.json_records import Step, clash, parse_path
from agent.decode.schema import RECORD_FORMATS, Channel, Profile
from agent.errors import ConfigError
from agent.toml_structs import Found, KeyPath, nearest, parse

__all__ = ["Profile", "parse_profile"]

# What people write, and what UCUM (ucum.org) calls it.
_UCUM = {"°C": "Cel", "degC": "Cel", "°F": "[degF]", "rpm": "/min", "RPM": "/min", "psi": "[psi]", "sec": "s"}
_TIME_TYPES = ("u32", "u64", "i64", "f64")
_COUNTER_TYPES = ("u8", "u16", "u24", "u32")


def parse_profile(text: str, filename: str) -> Profile:
    """The profile in `text`; raises ConfigError with all of its problems."""
    parsed = parse(text, filename, Profile)
    profile = modbus_layout.with_record(parsed.value)
    if problems := parsed.placed(_found(profile)):
        raise ConfigError(problems)
    return profile


def _found(profile: Profile) -> Iterator[Found]:
    yield from _format(profile)
    yield from layout_rules.problems(profile)
    yield from wire_rules.problems(profile)
    yield from _fields(profile)
    yield from _sequence(profile)
    yield from _time(profile)
    yield from _boot_clock(profile)
    yield from _disorder(profile)
    yield from _channels(profile)
    yield from _startup(profile)
    yield from message_rules.problems(profile)
    yield from sensor_rules.problems(profile)
    yield from modbus_layout.problems(profile)


def _format(profile: Profile) -> Iterator[Found]:
    formats = [name for name in RECORD_FORMATS if getattr(profile, name) is not None]
    if len(formats) != 1:
        yield (
            (),
            f"{' and '.join(formats) or 'no'} record format is given",
            f"give exactly one of {', '.join(f'[{name}]' for name in RECORD_FORMATS)}",
        )
    for key, value in (("rate_hz", profile.rate_hz), ("silent_after_s", profile.silent_after_s)):
        if not math.isfinite(value):
            yield (key,), f"{value} is no finite number", "give what the firmware does"
    if profile.csv and not profile.csv.separator:
        yield ("csv", "separator"), "the separator is empty", 'leave it out for ","'


def _fields(profile: Profile) -> Iterator[Found]:
    formats = [name for name in RECORD_FORMATS if getattr(profile, name) is not None]
    base: KeyPath = ("csv", "columns") if profile.csv else (*formats[:1], "fields")
    if not profile.field_names:
        yield base, "the record has no fields", "name what it carries"
    yield from _duplicates(profile.field_names, "field", base)
    uses: list[tuple[KeyPath, str]] = [
        (("channel", index, "field" if channel.field else "name"), channel.source_field)
        for index, channel in enumerate(profile.channel)
    ]
    if profile.sequence:
        uses.append((("sequence", "field"), profile.sequence.field))
    if profile.time.field is not None:
        uses.append((("time", "field"), profile.time.field))
    for path, name in uses:
        if name not in profile.field_names:
            yield path, f"the record has no field '{name}'", nearest(name, profile.field_names)
    if profile.json:
        yield from _paths(profile.json.fields)


def _paths(fields: dict[str, str]) -> Iterator[Found]:
    paths: dict[str, list[Step]] = {}
    for name, text in fields.items():
        try:
            paths[name] = parse_path(text)
        except ValueError as error:
            yield ("json", "fields", name), str(error), ""
    if why := clash(paths):
        yield ("json", "fields"), why, "mend the paths"


def _sequence(profile: Profile) -> Iterator[Found]:
    if profile.sequence is None:
        return
    kind = _binary_type(profile, profile.sequence.field)
    if profile.binary is None and profile.sequence.bits is None:
        yield ("sequence",), "the key 'bits' is missing", "text does not say where the counter wraps: bits = 16, say"
    if kind and kind not in _COUNTER_TYPES:
        yield ("sequence", "field"), f"a counter cannot be {kind}", f"use one of {', '.join(_COUNTER_TYPES)}"
    elif kind and profile.sequence.bits is not None and profile.sequence.bits > int(kind[1:]):
        yield ("sequence", "bits"), f"{kind} holds no {profile.sequence.bits} bits", "leave bits out"


def _time(profile: Profile) -> Iterator[Found]:
    time = profile.time
    if time.kind == "device" and profile.stamped is None:
        for key in ("field", "unit"):
            if getattr(time, key) is None:
                yield ("time",), f"the key '{key}' is missing", f"device time needs {key} = ..."
    elif profile.stamped is None:
        for key in ("field", "unit"):
            if getattr(time, key) is not None:
                yield ("time", key), f"time of kind '{time.kind}' has no {key}", 'leave it out, or set kind = "device"'
    if time.kind == "counter" and profile.sequence is None:
        yield ("time", "kind"), "counter time needs a sequence counter", "add [sequence] with its field"
    if profile.binary and time.unit == "rfc3339":
        yield ("time", "unit"), "a binary record holds no RFC 3339 text", "use s, ms, us or ns"
    kind = _binary_type(profile, time.field)
    if kind and kind not in _TIME_TYPES:
        yield ("time", "field"), f"a Unix time does not fit {kind}", f"use one of {', '.join(_TIME_TYPES)}"


def _boot_clock(profile: Profile) -> Iterator[Found]:
    time = profile.time
    if time.epoch == "unix":
        if time.bits is not None:
            yield ("time", "bits"), "a time since 1970 does not wrap", 'leave it out, or set epoch = "boot"'
    elif time.kind != "device" or profile.stamped is not None or time.unit == "rfc3339":
        yield (
            ("time", "epoch"),
            "only a number of its own can count from boot",
            'set kind = "device" with field and unit',
        )


def _disorder(profile: Profile) -> Iterator[Found]:
    if profile.sequence and profile.max_late_samples > profile.sequence_modulus // 4:
        what = f"{profile.max_late_samples} samples late cannot be told from a restart by this sequence counter"
        yield ("time", "max_disorder_s"), what, "lower it, or widen the counter"


def _binary_type(profile: Profile, field: str | None) -> str | None:
    return next((entry.type for entry in profile.binary_fields if entry.name == field), None)


def _channels(profile: Profile) -> Iterator[Found]:
    if not profile.channel:
        yield ("channel",), "the profile has no channel", "add a [[channel]]"
    yield from _duplicates(profile.channel_names, "channel", ("channel",))
    for index, channel in enumerate(profile.channel):
        for key, what, remedy in _channel(channel):
            yield ("channel", index, key), what, remedy


def _channel(channel: Channel) -> Iterator[tuple[str, str, str]]:
    if not channel.name or "." in channel.name or any(character.isspace() for character in channel.name):
        yield "name", f"'{channel.name}' is no channel name", "use a word without dots, as in accelerometer_1"
    if not channel.unit or not channel.unit.isascii() or " " in channel.unit or channel.unit in _UCUM:
        remedy = (
            f"write '{_UCUM[channel.unit]}'" if channel.unit in _UCUM else "write a UCUM unit, '1' for a pure number"
        )
        yield "unit", f"'{channel.unit}' is no UCUM unit", remedy
    if channel.scale == 0 or not math.isfinite(channel.scale):
        yield "scale", f"a scale of {channel.scale} loses the reading", "leave it out for 1.0"
    if not math.isfinite(channel.offset):
        yield "offset", f"an offset of {channel.offset} loses the reading", "leave it out for 0.0"
    bounds = [bound for bound in (channel.minimum, channel.maximum) if bound is not None]
    if any(math.isnan(bound) for bound in bounds) or bounds != sorted(bounds):
        yield "minimum", f"the range {channel.minimum} to {channel.maximum} is empty", "swap the two"


def _startup(profile: Profile) -> Iterator[Found]:
    if profile.startup and profile.transport != "serial":
        yield ("startup",), f"nothing can be sent over transport '{profile.transport}'", "leave [[startup]] out"
    for index, command in enumerate(profile.startup):
        for key, what, remedy in startup.problems(command):
            yield ("startup", index, key), what, remedy
    if profile.command and profile.transport != "serial":
        yield ("command",), f"nothing can be sent over transport '{profile.transport}'", "leave [command] out"
    for name, command in profile.command.items():
        for key, what, remedy in startup.problems(command):
            yield ("command", name, key), what, remedy


def _duplicates(names: list[str], what: str, path: KeyPath) -> Iterator[Found]:
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield path, f"the {what} '{name}' is given twice", "rename one"
