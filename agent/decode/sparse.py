"""Rows out of single values: formats that send only what changed give a row whose other channels are missing."""

from __future__ import annotations

import numpy as np

from agent.decode.records import Records
from agent.types import Int64Array, QualityArray, TimeQuality


class SparseRows:
    """Collects the values of one call, record by record; those of one record and time share a row, unless a channel repeats."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._owners: list[int] = []
        self._times: list[int] = []
        self._values: dict[int, float] = {}  # by cell of the table, row by row
        self._flags: dict[int, int] = {}  # by cell, where there are any
        self._record = -1
        self._open: dict[int, int] = {}  # by time: a row of this record

    def put(self, record: int, time_ns: int, column: int, value: float, flags: int = 0) -> None:
        """Add one raw value of the channel `column`, with the `Quality` flags that the device gave it."""
        if record != self._record:
            self._record, self._open = record, {}
        row = self._open.get(time_ns)
        if row is None or row * self._channels + column in self._values:
            row = self._open[time_ns] = len(self._owners)
            self._owners.append(record)
            self._times.append(time_ns)
        cell = row * self._channels + column
        self._values[cell] = value
        if flags:
            self._flags[cell] = flags

    def holds(self, record: int) -> bool:
        """True where the record being read has given a value."""
        return self._record == record

    def table(self, *, timed: bool, by_arrival: bool, lost: int = 0) -> Records:
        """All rows; with their times where `timed`, of which some are arrival times where `by_arrival`."""
        count = len(self._values)
        values = np.full((len(self._owners), self._channels), np.nan)
        cells = np.fromiter(self._values, dtype=np.int64, count=count)
        values.reshape(-1)[cells] = np.fromiter(self._values.values(), dtype=np.float64, count=count)
        quality: QualityArray | None = None
        if self._flags:
            quality = np.zeros(values.shape, dtype=np.uint8)
            quality.flat[list(self._flags)] = list(self._flags.values())
        owner: Int64Array = np.array(self._owners, dtype=np.int64)
        time_ns = np.array(self._times, dtype=np.int64) if timed else None
        worse = TimeQuality.ARRIVAL if timed and by_arrival else None
        return Records(values, None, time_ns, owner, quality, lost, worse)
