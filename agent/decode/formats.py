"""The record format that a profile asks for."""

from __future__ import annotations

from collections import deque

from agent.decode.binary_arrays import BinaryArrayFormat
from agent.decode.binary_records import BinaryFormat
from agent.decode.csv_records import CsvFormat
from agent.decode.influx_records import InfluxFormat
from agent.decode.json_records import JsonFormat
from agent.decode.records import RecordFormat
from agent.decode.schema import Profile
from agent.decode.senml_records import SenmlFormat
from agent.decode.sparkplug_records import SparkplugFormat
from agent.metrics import Counters
from agent.types import Command


def record_format(profile: Profile, counters: Counters, commands: deque[Command]) -> RecordFormat:
    """The one record format that the profile describes.

    It counts what it leaves out of a record in `counters`, and puts what the device should be told into `commands`.
    """
    if profile.binary is not None:
        block = profile.binary.samples
        is_open = block is not None and block.count is None
        return BinaryArrayFormat(profile, profile.binary) if is_open else BinaryFormat(profile, profile.binary)
    if profile.csv is not None:
        return CsvFormat(profile, profile.csv)
    if profile.json is not None:
        return JsonFormat(profile, profile.json, counters)
    return _stamped_format(profile, counters, commands)


def _stamped_format(profile: Profile, counters: Counters, commands: deque[Command]) -> RecordFormat:
    if profile.influx is not None:
        return InfluxFormat(profile, profile.influx, counters)
    if profile.senml is not None:
        return SenmlFormat(profile, profile.senml, counters)
    assert profile.sparkplug is not None, "a checked profile has exactly one record format"
    return SparkplugFormat(profile, profile.sparkplug, counters, commands)
