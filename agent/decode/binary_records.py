"""Packed binary records of fixed size: all of a call's records become arrays by one view over their bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from agent.decode.envelope import Rejected
from agent.decode.layout import Layout
from agent.decode.records import MAX_NS, UNIT_NS, Arrivals, Records
from agent.decode.schema import BinaryRecord, Profile
from agent.types import NANOSECONDS, Int64Array


class BinaryFormat:
    """Reads records as the profile's fields lay them out; a record with a block of samples gives one row for each."""

    def __init__(self, profile: Profile, record: BinaryRecord) -> None:
        self._layout = Layout(record)
        self._channels = [channel.source_field for channel in profile.channel]
        self._sequence = profile.sequence
        self._time = profile.time.field
        self._time_factor = UNIT_NS.get(profile.time.unit or "ns", 1)
        self._sample_ns = np.rint(np.arange(self._layout.count) * NANOSECONDS / profile.rate_hz).astype(np.int64)
        self._match = {name: np.array(values) for name, values in profile.match.items()}

    def read(self, records: list[bytes], _arrivals: Arrivals, /) -> tuple[Records, Rejected]:
        """A record of the wrong size is rejected, and one of another kind skipped; a device time out of all bounds is clamped."""
        size = self._layout.size
        rejected: Rejected = {}
        if records and set(map(len, records)) != {size}:
            rejected = {index: self._unfit(record) for index, record in enumerate(records) if len(record) != size}
        fit = [index for index in range(len(records)) if index not in rejected] if rejected else range(len(records))
        table = np.frombuffer(b"".join([records[index] for index in fit]), dtype=self._layout.dtype)
        if self._match:
            wanted = self._matching(table)
            rejected.update(dict.fromkeys([fit[index] for index in np.flatnonzero(~wanted)], "skipped"))
            fit = [fit[index] for index in np.flatnonzero(wanted)]
            table = table[wanted]
        return self._rows(table, fit), rejected

    def _rows(self, table: npt.NDArray[np.void], fit: Sequence[int]) -> Records:
        layout, count = self._layout, self._layout.count
        values = np.empty((len(table), count, len(self._channels)))
        for index, name in enumerate(self._channels):
            values[:, :, index] = layout.columns(table, name)
        sequence = time_ns = owner = None
        if self._sequence is not None:
            counter = layout.columns(table, self._sequence.field).astype(np.int64)
            first = counter * count if self._sequence.counts == "frames" else counter
            sequence = (first + np.arange(count)).ravel()
        if self._time is not None:
            time_ns = (self._times(layout.columns(table, self._time)) + self._sample_ns).ravel()
        if count > 1:
            owner = np.repeat(np.asarray(fit, dtype=np.int64), count)
        return Records(values.reshape(-1, len(self._channels)), sequence, time_ns, owner)

    def _matching(self, table: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
        """Which records are of the profile's kind, bool [n]."""
        wanted = np.ones(len(table), dtype=bool)
        for name, values in self._match.items():
            wanted &= np.isin(self._layout.columns(table, name)[:, 0], values)
        return wanted

    def _unfit(self, record: bytes) -> str:
        """Why a record of another size gives no sample: it is of another kind, or broken."""
        if not self._match:
            return "decode_errors"
        padded = np.frombuffer(record[: self._layout.size].ljust(self._layout.size, b"\0"), dtype=self._layout.dtype)
        return "decode_errors" if self._matching(padded).all() else "skipped"

    def _times(self, stamps: npt.NDArray[np.generic]) -> Int64Array:
        """Nanoseconds, clamped to what int64 holds; the time base drops what steps too far."""
        limit = MAX_NS // self._time_factor
        if stamps.dtype.kind == "f":
            scaled = np.nan_to_num(stamps.astype(np.float64), posinf=limit, neginf=-limit)
            return np.rint(np.clip(scaled, -limit, limit) * self._time_factor).astype(np.int64)
        if stamps.dtype.kind == "u":
            stamps = np.minimum(stamps.astype(np.uint64), np.uint64(limit))
        return stamps.astype(np.int64).clip(-limit, limit) * self._time_factor
