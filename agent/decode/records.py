"""Records: the raw numbers of some frames, whatever format they came in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from agent.decode.envelope import Rejected
from agent.decode.pieces import BoolArray
from agent.decode.schema import Profile, TimeUnit
from agent.decode.states import cell_reader, number
from agent.types import Chunk, Int64Array, QualityArray, TimeQuality

Float64Array = npt.NDArray[np.float64]
FloatArray = npt.NDArray[np.floating[Any]]
Column = Sequence[Any] | Float64Array  # the cells of one field, as text, or numbers already

UNIT_NS: dict[TimeUnit, int] = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
# Event times beyond this (the year 2116) are broken numbers, and nanoseconds stay far from the int64 limit.
MAX_NS = 1 << 62


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """Raw values float [n, channels] (NaN where a cell holds no number), and where the profile has them the device times
    int64 [n] in nanoseconds since the Unix epoch and the sequence counters int64 [n / samples].

    A record gives `samples` rows, which follow each other, and a counter stands for the first of them; in a format whose records may hold any
    number of rows `samples` is 1, and `owner` int64 [n] is the index of each row's record among those that were read, in order. None means
    that each that was not rejected gave its rows. `quality` uint8 [n, channels] holds flags that the device itself
    set, `lost` the rows that it is known to have sent besides; `time_quality` is set where it is worse than the profile's.
    """

    values: FloatArray
    sequence: Int64Array | None
    time_ns: Int64Array | None
    owner: Int64Array | None = None
    quality: QualityArray | None = None
    lost: int = 0
    time_quality: TimeQuality | None = None
    samples: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Arrivals:
    """How each of n records arrived: `origin` int64 [n] is the index of the chunk that completed it."""

    chunks: Sequence[Chunk]
    origin: Int64Array

    def time_ns(self, record: int) -> int:
        """The host's clock at the arrival of a record, nanoseconds since the Unix epoch."""
        return self.chunks[int(self.origin[record])].arrived_ns

    def topic(self, record: int) -> str:
        """The topic of a record, empty on a stream."""
        return self.chunks[int(self.origin[record])].topic


class RecordFormat(Protocol):
    """Reads the numbers out of records; one object a device, so that it may remember what earlier records said."""

    def read(self, records: Sequence[bytes], arrivals: Arrivals, /) -> tuple[Records, Rejected]:
        """The records that hold a sample, and why each of the others does not."""
        ...


class TextColumns:
    """Columns of cells, as CSV and JSON give them, made into numbers."""

    def __init__(self, profile: Profile) -> None:
        self.fields = [channel.source_field for channel in profile.channel]
        self._channels = len(self.fields)
        self._stateful = {
            index: cell_reader(channel) for index, channel in enumerate(profile.channel) if channel.states
        }
        self._sequence = profile.sequence is not None
        if profile.sequence:
            self.fields.append(profile.sequence.field)
        self._time_unit = profile.time.unit
        self.time_index: int | None = None
        if profile.time.field is not None:
            self.time_index = len(self.fields)
            self.fields.append(profile.time.field)

    def read(self, columns: Sequence[Column], repeats: Int64Array | None = None) -> tuple[Records, Rejected]:
        """Columns of equal length n in the order of `fields`; a row without its time, its count or any value is rejected.

        With `repeats` int64 [m], whose sum is n, columns may be of length m too: so many rows share each of their cells.
        """
        count = (len(columns[0]) if repeats is None else int(repeats.sum())) if columns else 0
        values = np.empty((count, self._channels))
        for index in range(self._channels if columns else 0):
            read = self._stateful.get(index)
            column = list(map(read, columns[index])) if read else numbers(columns[index])
            values[:, index] = _spread(np.asarray(column), repeats)
        good: BoolArray = np.asarray(np.isfinite(values).any(axis=1))
        sequence, time_ns = None, None
        if self._sequence:
            counts = _spread(numbers(columns[self._channels]), repeats) if columns else np.empty(0)
            whole = (counts >= 0) & (counts < 1 << 53)
            good &= whole
            sequence = np.where(whole, counts, 0).astype(np.int64)
        if self._time_unit is not None:
            unit = self._time_unit
            stamps = [stamp_ns(cell, unit) for cell in columns[-1]] if columns else []
            good &= _spread(np.array([stamp is not None for stamp in stamps], dtype=bool), repeats)
            time_ns = _spread(np.array([stamp or 0 for stamp in stamps], dtype=np.int64), repeats)
        return _only(good, Records(values, sequence, time_ns))


def _spread(column: npt.NDArray[Any], repeats: Int64Array | None) -> npt.NDArray[Any]:
    return column if repeats is None or len(column) != len(repeats) else np.repeat(column, repeats)


def _only(good: BoolArray, records: Records) -> tuple[Records, Rejected]:
    if good.all():
        return records, {}
    rejected: Rejected = dict.fromkeys(np.flatnonzero(~good).tolist(), "decode_errors")
    sequence = None if records.sequence is None else records.sequence[good]
    time_ns = None if records.time_ns is None else records.time_ns[good]
    return Records(records.values[good], sequence, time_ns), rejected


def numbers(cells: Column) -> Float64Array:
    """Cells as float64 [n]; NaN for one that is no number."""
    try:
        found = np.array(cells, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        found = np.empty((0, 0))
    # Arrays of one length in the place of numbers would have made a table.
    return found if found.ndim == 1 else np.array([number(cell) for cell in cells], dtype=np.float64)


def stamp_ns(cell: Any, unit: TimeUnit) -> int | None:
    """A time cell as nanoseconds since the Unix epoch; None where it is no time."""
    try:
        if unit == "rfc3339":
            stamp = _rfc3339_ns(cell.decode() if isinstance(cell, bytes) else cell)
        else:
            stamp = _scaled(cell, UNIT_NS[unit])
    except (TypeError, ValueError, OverflowError):
        return None
    return stamp if abs(stamp) < MAX_NS else None


def _scaled(cell: Any, factor: int) -> int:
    """Whole numbers stay exact; float64 resolves 0.2 microseconds of a Unix time in seconds."""
    if isinstance(cell, int):
        return cell * factor
    try:
        if not isinstance(cell, float):
            return int(cell) * factor
    except ValueError:
        pass  # text with a fraction
    return round(float(cell) * factor)


def _rfc3339_ns(text: Any) -> int:
    """Microsecond resolution; a time without an offset is taken as UTC."""
    if not isinstance(text, str):
        raise TypeError("a time in RFC 3339 is text")
    moment = datetime.fromisoformat(text.strip())
    offset = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return ((offset.days * 86_400 + offset.seconds) * 1_000_000 + offset.microseconds) * 1_000
