"""The record format that a profile asks for."""

from __future__ import annotations

from agent.decode.binary_records import BinaryFormat
from agent.decode.csv_records import CsvFormat
from agent.decode.json_records import JsonFormat
from agent.decode.records import RecordFormat
from agent.decode.schema import Profile


def record_format(profile: Profile) -> RecordFormat:
    """The one of binary, csv and json that the profile describes."""
    if profile.binary is not None:
        return BinaryFormat(profile, profile.binary)
    if profile.csv is not None:
        return CsvFormat(profile, profile.csv)
    assert profile.json is not None, "a checked profile has exactly one record format"
    return JsonFormat(profile, profile.json)
