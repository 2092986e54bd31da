"""What can be wrong with a profile whose messages say their own times: line protocol, SenML, Sparkplug."""

from __future__ import annotations

import math
from collections.abc import Iterator

from agent.decode.schema import Profile
from agent.toml_structs import Found, KeyPath


def problems(profile: Profile) -> Iterator[Found]:
    """Each with the key where it stands, and what to do."""
    yield from _states(profile)
    if profile.stamped is None:
        return
    if (profile.senml or profile.sparkplug) and profile.framing.kind != "message":
        what = f"framing '{profile.framing.kind}' does not go with it: one MQTT payload is one message"
        yield ("framing", "kind"), what, 'set kind = "message"'
    if profile.influx and profile.framing.kind not in ("message", "lines"):
        yield ("framing", "kind"), "line protocol is text", 'set kind = "lines" or "message"'
    if profile.sequence is not None:
        yield ("sequence",), "this format has no counter of samples to name", "leave it out"
    if profile.time.kind == "counter":
        yield ("time", "kind"), "this format counts no samples", 'set kind = "device" or "arrival"'
    for key in ("field", "unit"):
        if getattr(profile.time, key) is not None:
            yield ("time", key), "this format knows by itself where its times stand", "leave it out"
    yield from _selectors(profile)


def _selectors(profile: Profile) -> Iterator[Found]:
    """An empty name selects nothing."""
    names: dict[KeyPath, str] = {}
    if profile.influx:
        for name, wanted in profile.influx.fields.items():
            names["influx", "fields", name, "measurement"] = wanted.measurement
            names["influx", "fields", name, "field"] = wanted.field
    if profile.senml:
        names |= {("senml", "fields", name, "name"): wanted.name for name, wanted in profile.senml.fields.items()}
    if profile.sparkplug:
        fields = profile.sparkplug.fields.items()
        names |= {("sparkplug", "fields", name, "metric"): wanted.metric for name, wanted in fields}
    for path, text in names.items():
        if not text:
            yield path, "the name is empty", "write it as the device sends it"


def _states(profile: Profile) -> Iterator[Found]:
    for index, channel in enumerate(profile.channel):
        if channel.states and profile.binary:
            yield ("channel", index, "states"), "a binary record holds no words", "leave it out"
        for state, value in channel.states.items():
            if not math.isfinite(value):
                yield ("channel", index, "states", state), f"{value} is no finite number", "give the word a number"
