"""Reads a firmware profile and finds every problem in it, each with its file, line and remedy."""

from __future__ import annotations

import math
from collections.abc import Iterator

from agent.decode.checksum import CATALOGUE
from agent.decode.json_records import Step, clash, parse_path
from agent.decode.schema import Channel, Profile
from agent.errors import ConfigError, Problem
from agent.toml_structs import KeyPath, Locate, nearest, parse

__all__ = ["Profile", "parse_profile"]

# What people write, and what UCUM (ucum.org) calls it.
_UCUM = {"°C": "Cel", "degC": "Cel", "°F": "[degF]", "rpm": "/min", "RPM": "/min", "psi": "[psi]", "sec": "s"}
_TIME_TYPES = ("u32", "u64", "i64", "f64")
_COUNTER_TYPES = ("u8", "u16", "u32")

Found = tuple[KeyPath, str, str]


def parse_profile(text: str, filename: str) -> Profile:
    """The profile in `text`; raises ConfigError with all of its problems."""
    parsed = parse(text, filename, Profile)
    problems = [_problem(found, parsed.locate) for found in _found(parsed.value)]
    if problems:
        raise ConfigError(problems)
    return parsed.value


def _problem(found: Found, locate: Locate) -> Problem:
    path, what, remedy = found
    return Problem(locate(path), what, remedy)


def _found(profile: Profile) -> Iterator[Found]:
    yield from _format(profile)
    yield from _framing(profile)
    yield from _fields(profile)
    yield from _sequence(profile)
    yield from _time(profile)
    yield from _channels(profile)


def _format(profile: Profile) -> Iterator[Found]:
    formats = [name for name in ("binary", "csv", "json") if getattr(profile, name) is not None]
    if len(formats) != 1:
        yield (
            (),
            f"{' and '.join(formats) or 'no'} record format is given",
            "give exactly one of [binary], [csv], [json]",
        )
    for key, value in (("rate_hz", profile.rate_hz), ("silent_after_s", profile.silent_after_s)):
        if not math.isfinite(value):
            yield (key,), f"{value} is no finite number", "give what the firmware does"
    if profile.checksum and profile.checksum.name not in CATALOGUE:
        close = nearest(profile.checksum.name, CATALOGUE)
        yield ("checksum", "name"), f"unknown checksum '{profile.checksum.name}'", close


def _framing(profile: Profile) -> Iterator[Found]:
    kind, path = profile.framing.kind, ("framing", "kind")
    if (kind == "message") != (profile.transport == "mqtt"):
        yield path, f"framing '{kind}' does not go with transport '{profile.transport}'", "mqtt is framed by message"
    if kind == "lines" and profile.binary:
        yield path, "a binary record may contain the delimiter", "frame binary records by cobs"
    if kind == "lines" and profile.checksum:
        yield ("checksum",), "a line of text carries no binary checksum", "frame by cobs, or leave [checksum] out"
    if kind == "lines" and not profile.framing.delimiter:
        yield ("framing", "delimiter"), "the delimiter is empty", 'leave it out for "\\n"'
    if kind != "lines" and profile.framing.delimiter != "\n":
        yield ("framing", "delimiter"), f"framing '{kind}' has no delimiter of its own to set", "leave it out"
    if profile.csv and not profile.csv.separator:
        yield ("csv", "separator"), "the separator is empty", 'leave it out for ","'


def _fields(profile: Profile) -> Iterator[Found]:
    base: KeyPath = ("csv", "columns") if profile.csv else ("binary" if profile.binary else "json", "fields")
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
    if time.kind == "device":
        for key in ("field", "unit"):
            if getattr(time, key) is None:
                yield ("time",), f"the key '{key}' is missing", f"device time needs {key} = ..."
    else:
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


def _binary_type(profile: Profile, field: str | None) -> str | None:
    fields = profile.binary.fields if profile.binary else []
    return next((entry.type for entry in fields if entry.name == field), None)


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


def _duplicates(names: list[str], what: str, path: KeyPath) -> Iterator[Found]:
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield path, f"the {what} '{name}' is given twice", "rename one"
