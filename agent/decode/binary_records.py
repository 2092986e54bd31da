"""Packed binary records of fixed size: all of a call's records become arrays by one view over their bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.decode.envelope import Rejected
from agent.decode.layout import Layout
from agent.decode.pieces import Octets, Pieces, sizes
from agent.decode.records import MAX_NS, UNIT_NS, Arrivals, FloatArray, Records
from agent.decode.schema import BinaryRecord, Profile
from agent.types import NANOSECONDS, Int64Array


class BinaryFormat:
    """Reads records as the profile's fields lay them out; a record with a block of samples gives one row for each."""

    def __init__(self, profile: Profile, record: BinaryRecord) -> None:
        self._layout = Layout(record)
        self._channels = [channel.source_field for channel in profile.channel]
        self._adjoining = self._layout.adjoining(self._channels)
        self._sequence = profile.sequence
        self._time = profile.time.field
        self._time_factor = UNIT_NS.get(profile.time.unit or "ns", 1)
        self._sample_ns = np.rint(np.arange(self._layout.count) * NANOSECONDS / profile.rate_hz).astype(np.int64)
        self._match = {name: np.array(values) for name, values in profile.match.items()}

    def read(self, records: Sequence[bytes], _arrivals: Arrivals, /) -> tuple[Records, Rejected]:
        """A record of the wrong size is rejected, and one of another kind skipped; a device time out of all bounds is clamped."""
        size = self._layout.size
        lengths = sizes(records)
        rejected: Rejected = {}
        unfit = lengths != size
        if np.count_nonzero(unfit):
            rejected = {index: self._unfit(records[index]) for index in np.flatnonzero(unfit).tolist()}
            records = [record for record, length in zip(records, lengths.tolist(), strict=True) if length == size]
        rows = Pieces.of(records).table()
        if rows is None:
            rows = np.empty((0, size), dtype=np.uint8)
        if self._match:
            wanted = self._matching(self._layout.table(rows))
            fit = np.flatnonzero(~unfit)
            rejected.update(dict.fromkeys(fit[~wanted].tolist(), "skipped"))
            rows = rows[wanted]
        return self._rows(rows), rejected

    def _rows(self, rows: Octets) -> Records:
        """Records uint8 [n, size] as numbers."""
        layout, count = self._layout, self._layout.count
        table = layout.table(rows)
        sequence = time_ns = None
        if self._sequence is not None:
            sequence = layout.columns(table, self._sequence.field)[:, 0].astype(np.int64)
            if self._sequence.counts == "frames":
                sequence *= count
        if self._time is not None:
            time_ns = (self._times(layout.columns(table, self._time)) + self._sample_ns).ravel()
        return Records(self._values(rows, table), sequence, time_ns, samples=count)

    def _values(self, rows: Octets, table: npt.NDArray[np.void]) -> FloatArray:
        """Of all samples, float [n * count, channels]; float32 where the device sends such."""
        channels = len(self._channels)
        if self._adjoining is not None:
            part, kind = self._adjoining
            numbers: npt.NDArray[Any] = np.array(rows[:, part], order="C").view(kind)
            native: type[np.floating[Any]] = np.float32 if kind[1:] == "f4" else np.float64
            return numbers.astype(native, copy=False).reshape(-1, channels)
        values = np.empty((len(table), self._layout.count, channels))
        for index, name in enumerate(self._channels):
            values[:, :, index] = self._layout.columns(table, name)
        return values.reshape(-1, channels)

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
