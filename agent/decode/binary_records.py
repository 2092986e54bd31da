"""Packed binary records of fixed size: all of a call's records become arrays by one view over their bytes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agent.decode.envelope import Rejected
from agent.decode.records import MAX_NS, UNIT_NS, Records
from agent.decode.schema import BinaryRecord, Profile
from agent.types import Int64Array


class BinaryFormat:
    """Reads records as the profile's fields lay them out."""

    def __init__(self, profile: Profile, layout: BinaryRecord) -> None:
        self._dtype = record_dtype(layout)
        self._channels = [channel.source_field for channel in profile.channel]
        self._sequence = profile.sequence.field if profile.sequence else None
        self._time = profile.time.field
        self._time_factor = UNIT_NS.get(profile.time.unit or "ns", 1)

    def read(self, records: list[bytes]) -> tuple[Records, Rejected]:
        """A record of the wrong size is rejected; a device time out of all bounds too."""
        size = self._dtype.itemsize
        rejected: Rejected = {}
        if records and (set(map(len, records)) != {size}):
            rejected = {index: "decode_errors" for index, record in enumerate(records) if len(record) != size}
            records = [record for record in records if len(record) == size]
        table = np.frombuffer(b"".join(records), dtype=self._dtype)
        values = np.empty((len(table), len(self._channels)))
        for index, name in enumerate(self._channels):
            values[:, index] = table[name]
        sequence = table[self._sequence].astype(np.int64) if self._sequence else None
        time_ns = self._times(table[self._time]) if self._time else None
        return Records(values, sequence, time_ns), rejected

    def _times(self, stamps: npt.NDArray[np.generic]) -> Int64Array:
        """Nanoseconds, clamped to what int64 holds; the time base drops what steps too far."""
        limit = MAX_NS // self._time_factor
        if stamps.dtype.kind == "f":
            scaled = np.nan_to_num(stamps.astype(np.float64), posinf=limit, neginf=-limit)
            return np.rint(np.clip(scaled, -limit, limit) * self._time_factor).astype(np.int64)
        if stamps.dtype.kind == "u":
            stamps = np.minimum(stamps.astype(np.uint64), np.uint64(limit))
        return stamps.astype(np.int64).clip(-limit, limit) * self._time_factor


def record_dtype(layout: BinaryRecord) -> np.dtype[np.void]:
    """The layout as a packed NumPy record type."""
    order = "<" if layout.endian == "little" else ">"
    return np.dtype([(field.name, f"{order}{field.type[0]}{int(field.type[1:]) // 8}") for field in layout.fields])
