"""What a data set states of its sensors, as the profile of a device, so that the box's own rules judge them."""

from __future__ import annotations

from collections.abc import Sequence

from agent.decode import schema
from export import units
from export.dataset_schema import Channel, Dataset


def facts(dataset: Dataset, channels: Sequence[int], rate_hz: float) -> schema.Profile:
    """The device that sends these channels of the data set, by index; nothing else of the profile is ever used."""
    chosen = [dataset.channel[index] for index in channels]
    names = {channel.name for channel in chosen}
    return schema.Profile(
        maker="",
        model=dataset.name,
        source="",
        transport="serial",
        rate_hz=rate_hz,
        silent_after_s=dataset.silent_after_s,
        framing=schema.Framing(kind="lines"),
        time=schema.TimeRule(kind="device"),
        csv=schema.CsvRecord(columns=[channel.name for channel in chosen]),
        channel=[_channel(channel) for channel in chosen],
        agree=[
            rule for rule in dataset.agree if names.issuperset(rule.channels) or len(chosen) == len(dataset.channel)
        ],
    )


def _channel(channel: Channel) -> schema.Channel:
    """Scale and offset convert the unit; a pair of units that is none has been reported, and counts as one."""
    try:
        scale, offset = units.conversion(channel.unit_from or channel.unit, channel.unit)
    except ValueError:
        scale, offset = 1.0, 0.0
    return schema.Channel(
        name=channel.name,
        unit=channel.unit,
        scale=scale,
        offset=offset,
        invalid=channel.invalid,
        states=channel.states,
        minimum=channel.minimum,
        maximum=channel.maximum,
        resolution=channel.resolution,
        noise=channel.noise,
        stuck_after_s=channel.stuck_after_s,
        rest=channel.rest,
        rails=channel.rails,
        max_step=channel.max_step,
    )
