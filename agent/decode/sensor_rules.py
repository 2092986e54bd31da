"""Checks what a profile states about its sensors' faults, so that a rule is never silently one that cannot hold."""

from __future__ import annotations

import math
from collections.abc import Iterator

from agent.decode.schema import AgreeRule, Channel, Profile
from agent.toml_structs import Found, nearest


def problems(profile: Profile) -> Iterator[Found]:
    """Problems of the keys by which faults are told: place, what is wrong, what to do."""
    for index, channel in enumerate(profile.channel):
        for key, what, remedy in _channel(channel):
            yield ("channel", index, key), what, remedy
    units = {channel.name: channel.unit for channel in profile.channel}
    for index, rule in enumerate(profile.agree):
        for key, what, remedy in _agree(rule, units):
            yield ("agree", index, key), what, remedy


def _channel(channel: Channel) -> Iterator[tuple[str, str, str]]:
    for key in ("resolution", "noise", "stuck_after_s", "max_step"):
        value = getattr(channel, key)
        if value is not None and not math.isfinite(value):
            yield key, f"{value} is no finite number", "leave it out where it is not known"
    if not all(map(math.isfinite, channel.rest)):
        yield "rest", "a value at rest is a finite number", "give the values that it reads at rest"
    if channel.rails is not None and not -math.inf < channel.rails[0] < channel.rails[1] < math.inf:
        yield (
            "rails",
            f"{channel.rails[0]} to {channel.rails[1]} is no range",
            "give the lowest value, then the highest",
        )


def _agree(rule: AgreeRule, units: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    for name in rule.channels:
        if name not in units:
            yield "channels", f"there is no channel '{name}'", nearest(name, units)
    if len(set(rule.channels)) < 2 or len(set(rule.channels)) < len(rule.channels):
        yield "channels", "it takes two different channels to agree", "name each once"
    if len({units[name] for name in rule.channels if name in units}) > 1:
        yield "channels", "channels in different units cannot be compared", "give them one unit by scale and offset"
    for key in ("within", "norm"):
        value = getattr(rule, key)
        if value is not None and not math.isfinite(value):
            yield key, f"{value} is no finite number", "give it in the channels' unit"
